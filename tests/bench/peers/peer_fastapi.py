"""The handler that one writes first: each callback is committed before it is answered. KEY and DATABASE are in the
environment."""

import json
import os
import sqlite3

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

KEY = os.environ["KEY"]
db = sqlite3.connect(os.environ["DATABASE"], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = FULL")
db.execute("CREATE TABLE callback (task_id TEXT PRIMARY KEY, type TEXT, response TEXT NOT NULL, body TEXT NOT NULL)")
app = FastAPI()


@app.post("/callback")
async def callback(request: Request):
    if request.headers.get("scale-callback-auth") != KEY:
        return JSONResponse({"error": "The key is missing or wrong."}, status_code=401)
    text = await request.body()
    body = json.loads(text)
    db.execute("INSERT OR REPLACE INTO callback VALUES (?, ?, ?, ?)",
               (body["task_id"], body["task"]["type"], json.dumps(body["response"]), text.decode()))
    return {"result": "stored", "task_id": body["task_id"]}
