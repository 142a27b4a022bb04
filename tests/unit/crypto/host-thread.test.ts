import { expect, it } from "vitest";
import { HostGone, HostThread } from "../../../proxy/crypto/host-thread.ts";

it("ends without having been started where no call was made, and takes none afterwards", async () => {
  const start = { sections: [], logLevel: "info", logFormat: "json" } as const;
  const thread = new HostThread(start, () => expect.unreachable("no call was under way"));
  thread.setLogLevel("debug");
  expect(thread.alive).toBe(true);

  await thread.stop();
  await thread.ended;
  expect(thread.alive).toBe(false);
  await expect(thread.call("close", [])).rejects.toBeInstanceOf(HostGone);
});
