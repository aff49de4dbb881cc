"""signing.py ID KEY IAT COUNT: prints nanoseconds per token and the first token."""
import sys
import time

import jwt

ID, KEY, IAT, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def sign(iat):
    return jwt.encode({"iss": ID, "iat": iat}, f"{ID}||{KEY}", algorithm="HS256")


first = sign(IAT)
for i in range(COUNT // 10):
    sign(IAT + i)
started = time.process_time_ns()
for i in range(COUNT):
    sign(IAT + i)
print(f"{(time.process_time_ns() - started) / COUNT:.1f} {first}")
