"""The floor: a FastAPI route on uvicorn that ignores the body and answers a few bytes."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/readyz")
@app.post("/v1/decisions")
@app.post("/v1/decisions:batch")
@app.post("/v1/rewards")
async def bare() -> dict[str, str]:
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
