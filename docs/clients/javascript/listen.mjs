// npm install zeromq@6 @msgpack/msgpack@3
import { decode } from "@msgpack/msgpack";
import { Subscriber } from "zeromq";

const socket = new Subscriber();
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5570");
socket.subscribe("detection/"); // every stream; "detection/cam/" for one
for await (const [topic, payload] of socket) {
  const event = decode(payload);
  console.log(event.stream, event.gloss, event.start_s, event.end_s);
}
