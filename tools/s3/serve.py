"""moto's server, one request at a time: S3 looks at a condition and writes in one step, which moto does in two.

  serve.py PORT     on loopback, until it is ended
"""

import io
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


class OneAtATime:
    def __init__(self, app):
        self.app, self.lock = app, threading.Lock()

    def __call__(self, environ, start_response):
        length = environ.get("CONTENT_LENGTH")
        if length:
            # Nobody waits for a client that takes its time.
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
        with self.lock:
            return list(self.app(environ, start_response))


run_simple(
    "127.0.0.1",
    int(sys.argv[1]),
    OneAtATime(DomainDispatcherApplication(create_backend_app)),
    threaded=True,
    request_handler=MotoRequestHandler,
)
