/** The development homeserver: what tests, the demo and the benchmarks may import. */
export { startPlayground } from "./server.ts";
export type { Playground } from "./server.ts";
export type { PlaygroundOptions } from "./options.ts";
export type { FaultAction, FaultHandle, FaultRule, Faults } from "./faults.ts";
export type { Store, StoredEvent, SyncRequest } from "./store/store.ts";
export type { Device, ToDeviceMessage } from "./store/device.ts";
export type { AppserviceRegistration } from "./store/appservices.ts";
