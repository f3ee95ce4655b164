"""Walks through the sandbox with Plugipay's published client, and checks codes and shapes against the wire contract."""

import http.server
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from plugipay import PlugipayClient, PlugipayError, PlugipaySignatureError, verify_webhook

URL, KEY_ID, SECRET = sys.argv[1:]
COMPLETED = "plugipay.checkout_session.completed.v1"
EXPIRED = "plugipay.checkout_session.expired.v1"

received = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received.append((self.headers["X-Plugipay-Signature"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def refused(code, status, call, /, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except PlugipayError as error:
        seen = (error.code, error.status)
        assert seen == (code, status), f"{seen} instead of {code} {status}"
        assert error.request_id.startswith("req_"), error.request_id
        return
    raise AssertionError(f"{code} {status} expected")


def eventually(what, is_so):
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.02)


class Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


def press(session, deed, method="qris"):
    """Presses a button of the hosted page, and answers where it leads."""
    form = urllib.parse.urlencode({"method": method}).encode()
    try:
        urllib.request.build_opener(Unfollowed).open(f"{session['hostedUrl']}/{deed}", form, 20)
    except urllib.error.HTTPError as answer:
        assert answer.code == 303, answer.code
        return answer.headers["Location"]
    raise AssertionError("a redirect expected")


platform = PlugipayClient(key_id=KEY_ID, secret=SECRET, base_url=URL)

# Provisioning, which is idempotent on our account's id.
workspace = platform.admin.provision_workspace(
    account_id="acc_1", partner="serront", discount_rate=0.003, brand_name="Studio Renata"
)
assert set(workspace.raw) == {"accountId", "partner", "discountRate", "brandName", "businessEmail", "createdAt"}
assert workspace["accountId"] != "acc_1" and workspace["discountRate"] == 0.003 and workspace["businessEmail"] is None
again = platform.admin.provision_workspace(account_id="acc_1", partner="serront", discount_rate=0.003)
assert again.raw == workspace.raw
other = platform.admin.provision_workspace(account_id="acc_2", partner="serront", discount_rate=0.003)
refused("VALIDATION_ERROR", 400, platform.admin.provision_workspace, account_id="x", partner="serront", discount_rate=2)

# Who gets in.
stranger = PlugipayClient(key_id="ak_other", secret=SECRET, base_url=URL, on_behalf_of=workspace["accountId"])
refused("INVALID_KEY", 401, stranger.ledger.balances)
forger = PlugipayClient(key_id=KEY_ID, secret="sk_wrong", base_url=URL, on_behalf_of=workspace["accountId"])
refused("INVALID_SIGNATURE", 401, forger.ledger.balances)
refused("INVALID_SIGNATURE", 401, PlugipayClient(api_key="pk_test_1", base_url=URL).ledger.balances)
refused("VALIDATION_ERROR", 400, platform.ledger.balances)
refused("NOT_FOUND", 404, platform.for_merchant("acc_1").ledger.balances)
merchant = platform.for_merchant(workspace["accountId"])
neighbour = platform.for_merchant(other["accountId"])

# Endpoints.
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
hook = merchant.webhook_endpoints.create(
    url=f"http://127.0.0.1:{server.server_port}/", events=[COMPLETED, EXPIRED], description="Serront"
)
assert hook["secret"] and hook["events"] == [COMPLETED, EXPIRED] and hook["active"] is True
spare = merchant.webhook_endpoints.create(url="https://shop.example/hooks")
assert spare["events"] == ["*"] and spare["secret"] != hook["secret"]
listed = merchant.webhook_endpoints.list()
assert [row["id"] for row in listed] == [hook["id"], spare["id"]]
assert all("secret" not in row.raw for row in listed)
assert neighbour.webhook_endpoints.list() == []
refused("NOT_FOUND", 404, neighbour.webhook_endpoints.delete, spare["id"])
assert merchant.webhook_endpoints.delete(spare["id"]) is None
refused("NOT_FOUND", 404, merchant.webhook_endpoints.delete, spare["id"])
refused("VALIDATION_ERROR", 400, merchant.webhook_endpoints.create, url="ftp://shop.example/")


# Checkout sessions.
def create(**changes):
    return merchant.checkout_sessions.create(**{
        "amount": 750_000, "currency": "IDR", "methods": ["qris", "va", "ewallet", "card"],
        "success_url": "https://shop.example/o/1?paid=1", "cancel_url": "https://shop.example/o/1",
        "line_items": [{"name": "Desain logo — 日本", "quantity": 1, "unitAmount": 750_000}], "expires_in_sec": 3_600,
        "metadata": {"orderId": "ord_1"}, **changes,
    })


session = create()
assert session["id"].startswith("cs_") and session["status"] == "open" and session["completedAt"] is None
assert session["accountId"] == workspace["accountId"] and session["metadata"] == {"orderId": "ord_1"}
assert (session["amount"], session["currency"]) == (750_000, "IDR")
assert merchant.checkout_sessions.get(session["id"]).raw == session.raw
refused("NOT_FOUND", 404, neighbour.checkout_sessions.get, session["id"])
refused("NOT_FOUND", 404, merchant.checkout_sessions.get, "cs_unknown")
refused("VALIDATION_ERROR", 400, create, amount=0)
refused("VALIDATION_ERROR", 400, create, currency="USD")
refused("VALIDATION_ERROR", 400, create, methods=["cash"])
least = create(line_items=None, expires_in_sec=None, metadata=None)
assert least["status"] == "open" and least["metadata"] == {}

# A key stands for its bytes.
body = {
    "amount": 5, "currency": "IDR", "methods": ["qris"], "successUrl": "https://shop.example/a",
    "cancelUrl": "https://shop.example/b", "lineItems": [],
}
first = merchant.request(method="POST", path="/api/v1/checkout-sessions", body=body, idempotency_key="idem_1")
assert merchant.request(method="POST", path="/api/v1/checkout-sessions", body=body, idempotency_key="idem_1") == first
refused(
    "idempotency_mismatch", 409, merchant.request, method="POST", path="/api/v1/checkout-sessions",
    body={**body, "amount": 6}, idempotency_key="idem_1",
)

# Called off, paid, failed and run out.
assert merchant.checkout_sessions.cancel(least["id"])["status"] == "canceled"
assert merchant.checkout_sessions.cancel(least["id"])["status"] == "canceled"
page = urllib.request.urlopen(session["hostedUrl"], timeout=20).read().decode()
assert "Rp 750.000" in page and "Desain logo — 日本" in page and "Studio Renata" in page
assert press(session, "pay", "va") == "https://shop.example/o/1?paid=1"
paid = merchant.checkout_sessions.cancel(session["id"])
assert paid["status"] == "completed" and paid["paymentMethod"] == "va" and paid["completedAt"] is not None
failed, overdue = create(), create()
assert press(failed, "fail") == "https://shop.example/o/1"
assert merchant.checkout_sessions.get(failed["id"])["status"] == "failed"
assert press(overdue, "expire") == "https://shop.example/o/1"
assert merchant.checkout_sessions.get(overdue["id"])["status"] == "expired"

# The money.
entries = merchant.ledger.list(source_type="checkout_session", source_id=session["id"])
assert {row["direction"]: row["amount"] for row in entries.data} == {"debit": 750_000, "credit": 750_000}
assert len({row["txId"] for row in entries.data}) == 1 and entries.has_more is False and entries.cursor is None
page = merchant.ledger.list(limit=1, order="asc")
assert len(page.data) == 1 and page.has_more is True
rest = merchant.ledger.list(limit=1, order="asc", cursor=page.cursor)
assert rest.data[0]["id"] != page.data[0]["id"] and rest.has_more is False
sale = {row["code"]: row["balance"] for row in merchant.ledger.balances()}["sale"]
balance = merchant.payouts.balance()
assert sale == balance["ledgerBalance"] == balance["available"] == 750_000 and balance["locked"] == 0
assert neighbour.ledger.list().data == [] and neighbour.payouts.balance()["available"] == 0

# The notifications, verified by the client's own verifier.
eventually("two notifications", lambda: len(received) >= 2)
told = [verify_webhook(raw, signature, hook["secret"]) for signature, raw in received]
assert [(event.type, event.object["id"]) for event in told] == [(COMPLETED, session["id"]), (EXPIRED, overdue["id"])]
assert told[0].object == paid.raw and told[0].account_id == workspace["accountId"] and told[0].id.startswith("evt_")
signature, raw = received[0]
for body, secret in [(raw + b" ", hook["secret"]), (raw, spare["secret"])]:
    try:
        verify_webhook(body, signature, secret)
    except PlugipaySignatureError:
        continue
    raise AssertionError("a signature over other bytes, or with another secret, was taken")
merchant.webhook_endpoints.delete(hook["id"])
print("the published client got along")
