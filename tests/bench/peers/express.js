// The handler that one writes first. `express.js KEY PORT DATABASE` commits each callback before it answers;
// without a database it is the usual sample: it answers, and keeps the result in memory.
"use strict";
const express = require("express");

const [key, port, database] = process.argv.slice(2);
const results = new Map();
let keep = null;

if (database) {
    const db = require("better-sqlite3")(database);
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = FULL");
    db.exec("CREATE TABLE callback (task_id TEXT PRIMARY KEY, type TEXT, response TEXT NOT NULL, body TEXT NOT NULL)");
    const insert = db.prepare("INSERT OR REPLACE INTO callback VALUES (?, ?, ?, ?)");
    keep = (body) =>
        insert.run(body.task_id, body.task.type, JSON.stringify(body.response), JSON.stringify(body));
}

const app = express();
app.use(express.json({ limit: "8mb" }));
app.post("/callback", (request, response) => {
    if (request.get("scale-callback-auth") !== key) {
        response.status(401).json({ error: "The key is missing or wrong." });
        return;
    }
    const body = request.body;
    if (keep) {
        keep(body);
        response.json({ result: "stored", task_id: body.task_id });
    } else {
        response.json({ result: "stored", task_id: body.task_id });
        results.set(body.task_id, body.response);
    }
});
app.listen(Number(port), "127.0.0.1", 1024);
