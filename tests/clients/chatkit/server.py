"""A chat service made with OpenAI's own ChatKit server SDK, as upstream of the tests.

Keeps threads in memory, for everybody alike: whose they are is not its affair. It answers each message with its own
text. Listens on a free port of 127.0.0.1 and prints it as the one line of its output.
"""

import asyncio
import socket
from datetime import datetime
from typing import Any, AsyncIterator

import uvicorn
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import AttachmentStore, NotFoundError, Store
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    Attachment,
    FileAttachment,
    Page,
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadMetadata,
)
from pydantic import ValidationError


def page(entries: list[Any], after: str | None, limit: int, order: str) -> Page:
    entries = sorted(entries, key=lambda entry: entry.created_at, reverse=order == "desc")
    ids = [entry.id for entry in entries]
    start = ids.index(after) + 1 if after in ids else 0
    data = entries[start : start + limit]
    more = start + limit < len(entries)
    return Page(data=data, has_more=more, after=data[-1].id if more else None)


class Memory(Store[None], AttachmentStore[None]):
    def __init__(self) -> None:
        self.threads: dict[str, ThreadMetadata] = {}
        self.items: dict[str, dict[str, ThreadItem]] = {}
        self.attachments: dict[str, Attachment] = {}

    @staticmethod
    def find(entries: dict[str, Any], key: str) -> Any:
        if key not in entries:
            raise NotFoundError(key)
        return entries[key]

    async def load_thread(self, thread_id: str, context: None) -> ThreadMetadata:
        return self.find(self.threads, thread_id)

    async def save_thread(self, thread: ThreadMetadata, context: None) -> None:
        self.threads[thread.id] = thread

    async def load_thread_items(self, thread_id, after, limit, order, context) -> Page[ThreadItem]:
        return page(list(self.items.get(thread_id, {}).values()), after, limit, order)

    async def load_threads(self, limit, after, order, context) -> Page[ThreadMetadata]:
        return page(list(self.threads.values()), after, limit, order)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: None) -> None:
        self.items.setdefault(thread_id, {})[item.id] = item

    save_item = add_thread_item

    async def load_item(self, thread_id: str, item_id: str, context: None) -> ThreadItem:
        return self.find(self.items.get(thread_id, {}), item_id)

    async def delete_thread(self, thread_id: str, context: None) -> None:
        self.threads.pop(thread_id, None)
        self.items.pop(thread_id, None)

    async def delete_thread_item(self, thread_id: str, item_id: str, context: None) -> None:
        self.items.get(thread_id, {}).pop(item_id, None)

    async def save_attachment(self, attachment: Attachment, context: None) -> None:
        self.attachments[attachment.id] = attachment

    async def load_attachment(self, attachment_id: str, context: None) -> Attachment:
        return self.find(self.attachments, attachment_id)

    async def delete_attachment(self, attachment_id: str, context: None) -> None:
        self.attachments.pop(attachment_id, None)

    async def create_attachment(self, input, context: None) -> Attachment:
        key = self.generate_attachment_id(input.mime_type, context)
        attachment = FileAttachment(id=key, name=input.name, mime_type=input.mime_type)
        await self.save_attachment(attachment, context)
        return attachment


class Echo(ChatKitServer[None]):
    async def respond(self, thread, input_user_message, context) -> AsyncIterator[Any]:
        text = input_user_message.content[0].text if input_user_message else "…"
        item = AssistantMessageItem(
            id=self.store.generate_item_id("message", thread, context),
            thread_id=thread.id,
            created_at=datetime.now(),
            content=[AssistantMessageContent(text=f"You said: {text}")],
        )
        yield ThreadItemDoneEvent(item=item)


memory = Memory()
server = Echo(memory, memory)


async def answer(send, status: int, media_type: str, body: bytes, more: bool = False) -> None:
    headers = [(b"content-type", media_type.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def app(scope, receive, send) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] != "/api/chatkit":
        return await answer(send, 404, "application/json", b'{"detail":"Not Found"}')
    try:
        result = await server.process(body, None)
    except ValidationError as fault:
        return await answer(send, 400, "application/json", fault.json().encode())
    except NotFoundError:
        return await answer(send, 404, "application/json", b'{"detail":"Not Found"}')
    if not isinstance(result, StreamingResult):
        return await answer(send, 200, "application/json", result.json)
    await answer(send, 200, "text/event-stream; charset=utf-8", b"", more=True)
    async for event in result:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="warning", lifespan="off")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


main()
