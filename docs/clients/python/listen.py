"""Needs: pip install pyzmq msgspec."""

import sys

import msgspec
import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5570")
socket.subscribe("detection/")  # every stream; "detection/cam/" for one
while True:
    topic, payload = socket.recv_multipart()
    event = msgspec.msgpack.decode(payload)
    print(event["stream"], event["gloss"], event["start_s"], event["end_s"], flush=True)
