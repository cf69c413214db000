// Judges what is on stdin by @noble/post-quantum: a JSON list of {name, public, message, signature} in hex, answered by a list of booleans;
// of {name, public, seed} in hex (an ML-KEM key) by [ciphertext, shared secret].
import { readFileSync } from "node:fs";
import * as mlDsa from "@noble/post-quantum/ml-dsa.js";
import * as mlKem from "@noble/post-quantum/ml-kem.js";
import * as slhDsa from "@noble/post-quantum/slh-dsa.js";

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (content) => Buffer.from(content).toString("hex");
const kinds = { ...mlDsa, ...mlKem, ...slhDsa };
const named = (name) => {
  const key = name.toLowerCase().replaceAll("-", "_");
  return kinds[key.startsWith("ml_") ? key.replace(/_(\d+)$/, "$1") : key];
};

function judge({ name, public: key, message, signature, seed }) {
  const kind = named(name);
  if (seed !== undefined) {
    const { cipherText, sharedSecret } = kind.encapsulate(bytes(key), bytes(seed));
    return [hex(cipherText), hex(sharedSecret)];
  }
  try {
    return kind.verify(bytes(signature), bytes(message), bytes(key));
  } catch {
    return false;
  }
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(judge)));
