"""A network camera on loopback: motion JPEG over HTTP, as dashcams and webcams serve it. It stops by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

_LONGEST_S = 120.0


@contextmanager
def mjpeg_camera(
    pictures: Sequence[np.ndarray], *, fps: float = 25.0, silent_after: int | None = None
) -> Iterator[str]:
    """Serves the pictures (H, W, 3) round and round; its address.

    Args:
        silent_after: after so many pictures the line stays open and nothing more comes.
    """
    parts = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    over = threading.Event()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            began_s, number = time.monotonic(), 0
            try:
                while not over.wait(max(0.0, began_s + number / fps - time.monotonic())):
                    if time.monotonic() - began_s > _LONGEST_S:
                        return
                    if silent_after is not None and number >= silent_after:
                        over.wait(_LONGEST_S)
                        return
                    part = parts[number % len(parts)]
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}\r\n\r\n"
                    self.wfile.write(head.encode() + part + b"\r\n")
                    number += 1
            except OSError:
                return  # who looked has gone

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/video.mjpg"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
