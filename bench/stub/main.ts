/**
 * The stub homeserver, in a process of its own. Started by the benchmark through `fork`: arguments are the port (0 for any), the
 * number of recipients and the room ids; messages ask for a backlog.
 */
import { createServer } from "node:net";
import { initAsync } from "@matrix-org/matrix-sdk-crypto-wasm";
import { MessageReader, type HttpMessage } from "../wire/message-reader.ts";
import { type StubAnswer, StubHomeserver, type StubRequest } from "./homeserver.ts";
import { Person } from "./person.ts";

/** Asks for a backlog; the same message comes back when it is there. */
export interface PrepareBacklog {
  readonly token: string;
  readonly events: number;
  readonly perSession: number;
}

const [port = "0", recipients = "1", ...rooms] = process.argv.slice(2);

function toRequest({ head, body }: HttpMessage): StubRequest {
  const [method = "", target = ""] = head.slice(0, head.indexOf("\r\n")).split(" ", 2);
  const token = /\r\nauthorization: *bearer +(\S+)/i.exec(head)?.[1] ?? "";
  return { method, target, token, body };
}

function toBytes({ status, body }: StubAnswer): string {
  const length = Buffer.byteLength(body);
  return `HTTP/1.1 ${status} Stub\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`;
}

await initAsync();
const people = await Promise.all(
  Array.from({ length: Number(recipients) }, (_, index) =>
    Person.create(`@recipient${index}:bench`),
  ),
);
const homeserver = new StubHomeserver(people, rooms);
const server = createServer({ noDelay: true }, (socket) => {
  const reader = new MessageReader((message) => {
    const answer = homeserver.answer(toRequest(message));
    if (!(answer instanceof Promise)) socket.write(toBytes(answer));
    else void answer.then((late) => socket.writable && socket.write(toBytes(late)));
  });
  socket.on("data", (chunk) => {
    reader.push(chunk);
  });
  socket.on("error", () => socket.destroy());
});
server.listen(Number(port), "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: address !== null && typeof address === "object" ? address.port : 0 });
});
process.on("message", (asked: PrepareBacklog) => {
  void homeserver.prepare(asked.token, asked.events, asked.perSession).then(() => {
    process.send?.(asked);
  });
});
process.on("disconnect", () => process.exit(0));
