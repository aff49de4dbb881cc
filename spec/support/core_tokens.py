"""Checks tokens without any code of ours: Python reads the JSON, the openssl command computes the MAC.

Reads lines of "hex(id) hex(key) iat token" and prints one line for each that is wrong, then "checked N".
"""
import base64
import json
import subprocess
import sys


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


count = 0
for line in sys.stdin:
    id_hex, key_hex, iat, token = line.split(" ")
    token = token.rstrip("\n")
    header, payload, signature = token.split(".")
    hmac_key = id_hex + b"||".hex() + key_hex
    answer = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:" + hmac_key, "-binary"],
        input=(header + "." + payload).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    claims = json.loads(decoded(payload))
    expected = {"iss": bytes.fromhex(id_hex).decode(), "iat": int(iat)}
    if decoded(header) != b'{"alg":"HS256","typ":"JWT"}':
        print("header of", line)
    text = decoded(payload).decode()
    shape = text.startswith('{"iss":"') and text.endswith('","iat":%s}' % iat)
    if claims != expected or not shape:
        print("payload of", line)
    if base64.urlsafe_b64encode(answer.stdout).decode().rstrip("=") != signature:
        print("signature of", line)
    if "=" in token or "+" in token or "/" in token:
        print("alphabet of", line)
    count += 1
print("checked", count)
