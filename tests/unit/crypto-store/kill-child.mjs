// Commits one record after the other and prints its number when its transaction has completed. After HOLD of them it opens a
// transaction that never ends, prints "open" when that has written, and goes on writing until it is killed.
import { Buffer } from "node:buffer";

const [, , index, path, key, hold] = process.argv;
const { DeviceStore, installIndexedDB } = await import(index);
installIndexedDB();
const store = DeviceStore.open({
  path,
  key: Buffer.from(key, "hex"),
  mode: "existing",
  migrations: [],
});
const request = globalThis.indexedDB.open(`${store.mountName}::db`, 1);
request.onupgradeneeded = () => request.result.createObjectStore("things");
await new Promise((resolve) => (request.onsuccess = resolve));
const database = request.result;
for (let number = 0; number < Number(hold); number += 1) {
  const transaction = database.transaction("things", "readwrite");
  transaction.objectStore("things").put({ number, padding: "x".repeat(3000) }, number);
  await new Promise((resolve) => (transaction.oncomplete = resolve));
  process.stdout.write(`${number}\n`);
}
const transaction = database.transaction("things", "readwrite");
const things = transaction.objectStore("things");
let written = 0;
const write = () => {
  if (written === 2000) process.stdout.write("open\n");
  written += 1;
  things.put({ padding: "x".repeat(3000) }, ["uncommitted", written % 3000]).onsuccess = write;
};
write();
