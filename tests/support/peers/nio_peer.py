"""A Matrix client on nio and libolm, driven by JSON lines: commands on stdin, what happens on stdout.

A command is {"id": n, "op": name, ...}; its answer {"id": n, "ok": true, ...} or {"id": n, "error": text}.
Everything else on stdout is {"event": {...}}: one line for each sight of a room event.
"""
import asyncio
import json
import logging
import sys
import tempfile

import nio

logging.disable(logging.CRITICAL)


def write(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def checked(response):
    if isinstance(response, nio.ErrorResponse):
        raise RuntimeError(str(response))
    return response


class Peer:
    def __init__(self):
        self.client = None
        self.syncing = None
        self.synced = asyncio.Event()
        self.failure = None
        self.undecryptable = []
        self.changed = asyncio.Condition()

    async def start(self, url, user, device, token):
        config = nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=False)
        folder = tempfile.mkdtemp(prefix="nio-peer-")
        self.client = nio.AsyncClient(url, user, device_id=device, store_path=folder, config=config)
        self.client.restore_login(user, device, token)
        self.client.add_event_callback(self.on_event, nio.Event)
        self.client.add_to_device_callback(self.on_room_key, nio.RoomKeyEvent)
        self.client.add_response_callback(self.on_sync, nio.SyncResponse)
        self.client.add_response_callback(self.on_error, nio.SyncError)
        self.syncing = asyncio.create_task(
            self.client.sync_forever(timeout=30000, full_state=True, loop_sleep_time=0)
        )
        waiting = asyncio.create_task(self.synced.wait())
        await asyncio.wait({self.syncing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if self.syncing.done():
            self.syncing.result()
        if self.failure is not None:
            raise RuntimeError(self.failure)
        if self.client.should_upload_keys:
            checked(await self.client.keys_upload())
        return {"identityKeys": self.client.olm.account.identity_keys}

    async def on_sync(self, _response):
        self.synced.set()
        async with self.changed:
            self.changed.notify_all()

    async def on_error(self, response):
        self.failure = str(response)
        self.synced.set()

    async def on_event(self, room, event):
        if isinstance(event, nio.MegolmEvent):
            self.undecryptable.append((room, event))
        self.report(room.room_id, event)

    async def on_room_key(self, _event):
        """nio does not go back to what it could not read: a client has to."""
        waiting, self.undecryptable = self.undecryptable, []
        for room, event in waiting:
            try:
                self.report(room.room_id, self.client.decrypt_event(event))
            except nio.EncryptionError:
                self.undecryptable.append((room, event))

    def report(self, room_id, event):
        source = event.source
        undecryptable = isinstance(event, nio.MegolmEvent)
        write(
            {
                "event": {
                    "eventId": event.event_id,
                    "roomId": room_id,
                    "sender": event.sender,
                    "type": source.get("type"),
                    "content": source.get("content", {}),
                    "encrypted": undecryptable or bool(event.decrypted),
                    "failure": "no key" if undecryptable else None,
                }
            }
        )

    async def wait_for_member(self, room, user, encrypted):
        def holds():
            known = self.client.rooms.get(room)
            return known is not None and user in known.users and (known.encrypted or not encrypted)

        async with self.changed:
            await self.changed.wait_for(holds)
        return {}

    async def join(self, room):
        checked(await self.client.join(room))
        return {}

    async def send(self, room, type, content):
        response = await self.client.room_send(room, type, content, ignore_unverified_devices=True)
        return {"eventId": checked(response).event_id}

    async def devices(self, user):
        devices = self.client.device_store.active_user_devices(user)
        return {"devices": sorted(device.id for device in devices)}


async def answer(peer, command):
    number = command.pop("id")
    operation = command.pop("op")
    try:
        write({"id": number, "ok": True, **await getattr(peer, operation)(**command)})
    except Exception as error:  # every failure belongs to the command's caller
        write({"id": number, "error": f"{type(error).__name__}: {error}"})


async def main():
    reader = asyncio.StreamReader(limit=2**24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer = Peer()
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(answer(peer, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if peer.syncing is not None:
        peer.syncing.cancel()
    if peer.client is not None:
        await peer.client.close()


asyncio.run(main())
