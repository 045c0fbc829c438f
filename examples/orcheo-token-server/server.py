"""A customer's site: a page with a chat, a login, and who has logged in. Needs nothing but Python.

    python3 server.py [PORT] [TOKEN_URL] [ORCHEO_URL]
"""

import json
import secrets
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
SETTINGS = {
    "tokenUrl": sys.argv[2] if len(sys.argv) > 2 else "http://localhost:8080/chatkit-token",
    "backend": sys.argv[3] if len(sys.argv) > 3 else "http://localhost:8000",
}
SITE = Path(__file__).parent / "site"
FILES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript"),
         "/openai-chatkit.js": ("openai-chatkit.js", "text/javascript")}
USERS = {"ada", "bob"}
sessions = {}


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def user(self):
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        return sessions.get(cookie.value) if cookie else None

    def do_GET(self):
        if self.path in FILES:
            name, media_type = FILES[self.path]
            return self.answer(200, (SITE / name).read_bytes(), Content_Type=f"{media_type}; charset=utf-8")
        if self.path == "/settings":
            return self.answer(200, json.dumps(SETTINGS).encode(), Content_Type="application/json")
        if self.path == "/whoami":  # asked by the gate, for a visitor whose cookies it passes on
            user = self.user()
            return self.answer(204, X_End_User_Id=user) if user else self.answer(401)
        self.answer(404)

    def do_POST(self):
        name = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 100)).decode()
        if self.path != "/login" or name not in USERS:  # a real site asks for more than a name
            return self.answer(403)
        key = secrets.token_urlsafe(32)
        sessions[key] = name
        self.answer(204, Set_Cookie=f"session={key}; Path=/; HttpOnly; SameSite=Lax")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Site)
print(f"http://localhost:{server.server_port}", flush=True)
server.serve_forever()
