"""A worker that serves one function. `III_URL` names a gateway; the default is ws://127.0.0.1:49134."""

import os
import threading

from iii import InitOptions, register_worker

iii = register_worker(os.environ.get("III_URL", "ws://127.0.0.1:49134"), InitOptions(worker_name="greeter"))


async def greet(data: dict) -> dict:
    return {"greeting": f"Hello, {data['name']}!"}


iii.register_function("greeter::greet", greet)
print("serving greeter::greet", flush=True)
try:
    threading.Event().wait()
except KeyboardInterrupt:
    iii.shutdown()
