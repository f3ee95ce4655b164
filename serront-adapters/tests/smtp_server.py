"""A real mail server (aiosmtpd) for the tests in smtp_server.rs, told by its arguments how to behave.

Prints {"port": N}, then one line for each message that it got to the end of, as Python's own mail parser reads it. It ends when its
input does, and after two minutes whatever happens.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult

LIFE_SECONDS = 120
PAUSE_SECONDS = 60


def tell(line):
    print(json.dumps(line), flush=True)


def body(message, kind):
    part = message.get_body((kind,))
    return None if part is None else part.get_content()


def readable(text):
    """What the parser holds of bytes that are not ASCII, which are UTF-8 where a server takes such addresses."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8")


class Handler:
    def __init__(self, behaviour, times):
        self.behaviour = behaviour
        self.left = times

    def misbehaves(self, behaviour):
        """Whether it is to behave so now. Each time counts."""
        if self.behaviour != behaviour or self.left == 0:
            return False
        self.left -= 1
        return True

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.misbehaves("refuse"):
            return f"550 5.1.1 {address} does not live here"
        if self.misbehaves("greylist"):
            return "451 4.7.1 come again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        tell({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
            "authenticated": session.authenticated,
            "headers": message.keys(),
            "names": [address.display_name for address in message["To"].addresses],
            "addresses": [readable(address.addr_spec) for address in message["To"].addresses],
            "subject": message["Subject"],
            "messageId": message["Message-ID"],
            "contentType": message.get_content_type(),
            "text": body(message, "plain"),
            "html": body(message, "html"),
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
        })
        if self.misbehaves("hang"):
            await asyncio.sleep(PAUSE_SECONDS)
        if self.misbehaves("drop"):
            server.transport.abort()
            await asyncio.sleep(PAUSE_SECONDS)
        return "250 2.0.0 taken"


async def serve(arguments):
    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
    handler = Handler(arguments.behaviour, arguments.times)

    def authenticate(server, session, envelope, mechanism, data):
        known = arguments.user and (data.login, data.password) == (arguments.user.encode(), arguments.password.encode())
        return AuthResult(success=bool(known), handled=False)

    def connection():
        return SMTP(
            handler,
            enable_SMTPUTF8=arguments.utf8,
            tls_context=None if arguments.wrapped else context,
            require_starttls=context is not None and not arguments.wrapped,
            authenticator=authenticate,
            auth_required=arguments.user is not None,
            auth_require_tls=context is not None and not arguments.wrapped,
        )

    loop = asyncio.get_running_loop()
    wrapping = context if arguments.wrapped else None
    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=wrapping)
    tell({"port": server.sockets[0].getsockname()[1]})
    ended = asyncio.Event()

    def wait_for_the_end():
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    try:
        await asyncio.wait_for(ended.wait(), LIFE_SECONDS)
    except asyncio.TimeoutError:
        pass


parser = argparse.ArgumentParser()
parser.add_argument("--behaviour", default="")
parser.add_argument("--times", type=int, default=1)
parser.add_argument("--certificate")
parser.add_argument("--key")
parser.add_argument("--wrapped", action="store_true")
parser.add_argument("--utf8", action="store_true")
parser.add_argument("--user")
parser.add_argument("--password", default="")
try:
    asyncio.run(serve(parser.parse_args()))
finally:
    # Connections that hang hold nobody up.
    sys.stdout.flush()
