import type { Backend } from "./backend.ts";

/** Stands between the mount name and the name of a database. */
export const MOUNT_SEPARATOR = "::";

const mounts = new Map<string, Backend>();

/** Makes a file's databases reachable through the installed factory. */
export function mount(name: string, backend: Backend): void {
  mounts.set(name, backend);
}

export function unmount(name: string): void {
  mounts.delete(name);
}

export function findMount(name: string): Backend | undefined {
  return mounts.get(name);
}
