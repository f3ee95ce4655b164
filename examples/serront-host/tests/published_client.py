"""Walks through the API with the published client, and checks codes and shapes against the wire contract."""

import hashlib
import hmac
import http.client
import http.server
import json
import sys
import threading
import time
import urllib.parse

from forjio_serront import SerrontClient, SerrontError

URL, KEY, STARTER_KEY, OPERATOR_KEY = sys.argv[1:]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)

received = []


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received.append((dict(self.headers), body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def refused(code, status, call, /, *arguments, param=None, **keywords):
    try:
        call(*arguments, **keywords)
    except SerrontError as error:
        seen = (error.code, error.status, error.param)
        assert seen[:2] == (code, status), f"{seen} instead of {code} {status}"
        assert param is None or error.param == param, f"{error.param} instead of {param}"
        assert error.request_id.startswith("req_"), error.request_id
        return
    raise AssertionError(f"{code} {status} expected")


def eventually(what, is_so):
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.02)


client = SerrontClient(token=KEY, base_url=URL)
stranger = SerrontClient(token="sk_live_" + "0" * 48, base_url=URL)

# Storefront.
assert client.storefront.get() is None
account = {"bankName": "BCA", "accountNumber": "1234567890", "accountHolder": "Renata"}
refused(
    "VALIDATION_ERROR", 400, client.storefront.put, slug="studio-renata", display_name="Studio Renata",
    manual_bank_accounts=[account] * 6, param="manualBankAccounts",
)
refused(
    "VALIDATION_ERROR", 400, client.storefront.put, slug="studio-renata", display_name="Studio Renata",
    manual_bank_accounts=[account, {**account, "bankName": " "}], param="manualBankAccounts[1].bankName",
)
refused(
    "VALIDATION_ERROR", 400, client.storefront.put, slug="studio-renata", display_name="Studio Renata",
    whatsapp_number="628120000000", param="whatsappNumber",
)
refused("VALIDATION_ERROR", 400, client.storefront.put, slug="No Slug", display_name="x", param="slug")
refused("VALIDATION_ERROR", 400, client.storefront.put, slug="s", display_name="a\0b", param="displayName")
refused("UPGRADE_REQUIRED", 403, client.storefront.put, slug="s", display_name="x", hide_branding=True)
refused("UNAUTHORIZED", 401, stranger.storefront.get)
put = client.storefront.put(
    slug="studio-renata", display_name="Studio Renata", bio="Logos.", whatsapp_number="+628120000000",
    manual_bank_accounts=[account], manual_instructions="Transfer ke BCA.", published=True,
)
assert put["manualBankAccounts"] == [account] and client.storefront.get() == put

# Catalog.
service = client.services.create(
    slug="logo-design", name="Logo design", pricing_type="package",
    packages=[{"name": "Basic", "priceIdr": 500_000}, {"name": "Full identity", "priceIdr": 2_500_000}],
)
refused(
    "CONFLICT", 409, client.services.create, slug="logo-design", name="x", pricing_type="fixed", price_idr=1
)
refused("VALIDATION_ERROR", 400, client.services.create, slug="x", name="x", pricing_type="weekly", param="pricingType")
refused("VALIDATION_ERROR", 400, client.services.create, slug="x", name="x", pricing_type="fixed", price_idr=-1, param="priceIdr")
client.services.create(slug="consulting", name="Consulting", pricing_type="hourly", price_idr=150_000, sort_order=2)
spare = client.services.create(slug="spare", name="Spare", pricing_type="fixed", price_idr=1, sort_order=3)
refused("LIMIT_REACHED", 403, client.services.create, slug="fourth", name="x", pricing_type="fixed", price_idr=1)
assert client.services.update(spare["id"], name="Renamed")["name"] == "Renamed"
assert client.services.delete(spare["id"]) == {"deleted": True}
refused("NOT_FOUND", 404, client.services.get, spare["id"])
assert [row["slug"] for row in client.services.list()] == ["logo-design", "consulting"]

# Webhooks.
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
hook = client.webhook_subscriptions.create(url=f"http://127.0.0.1:{server.server_port}/")
assert hook["events"] == ["*"] and hook["secret"].startswith("whsec_")
refused("VALIDATION_ERROR", 400, client.webhook_subscriptions.create, url="ftp://example.com/", param="url")
refused(
    "VALIDATION_ERROR", 400, client.webhook_subscriptions.create, url="https://127.0.0.1/", events=["nope"],
    param="events[0]",
)

# The public storefront and an order.
shop = client.public.get_storefront("studio-renata")
assert "accountNumber" not in json.dumps(shop) and "Transfer ke BCA" not in json.dumps(shop)
assert shop["storefront"]["onlinePayment"] is False and len(shop["services"]) == 2
buyer = {"buyer_name": "Budi", "buyer_email": "budi@example.com"}
refused("NOT_FOUND", 404, client.public.get_storefront, "nobody")
refused("VALIDATION_ERROR", 400, client.public.create_order, "studio-renata", service_slug="logo-design", **buyer, param="packageName")
refused(
    "VALIDATION_ERROR", 400, client.public.create_order, "studio-renata", service_slug="logo-design",
    package_name="Basic", buyer_name="Budi", buyer_email="nobody", param="buyerEmail",
)
refused(
    "VALIDATION_ERROR", 400, client.public.create_order, "studio-renata", service_slug="logo-design",
    package_name="Basic", notes="x" * 2_001, **buyer, param="notes",
)
placed = client.public.create_order(
    "studio-renata", service_slug="logo-design", package_name="Basic", preferred_date="2026-12-24", notes="Biru.",
    **buyer,
)
assert placed["number"] == 1 and placed["quotedPriceIdr"] == 500_000 and placed["discountAmountIdr"] == 0
token = placed["accessToken"]
view = client.public.get_order(token)
assert view["payment"]["bankAccounts"] == [account]
assert view["payment"]["whatsappLink"] == "https://wa.me/628120000000"
refused("NOT_FOUND", 404, client.public.get_order, "0" * 48)
refused("NOT_FOUND", 404, client.public.get_order, "../../etc")

# The receipt and the claim.
refused("PAYLOAD_TOO_LARGE", 413, client.public.upload_proof, token, data=b"x" * (5 * 1024 * 1024 + 1), content_type="image/png")
for content_type, data in [
    ("image/png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), ("image/svg+xml", b"<svg/>"), ("image/png", b""),
    ("image/jpeg", PNG), ("application/pdf", b"%PDF-1.7"), ("image/png", b"<html></html>"), ("image/png", PNG[:40]),
]:
    refused("UNSUPPORTED_MEDIA_TYPE", 415, client.public.upload_proof, token, data=data, content_type=content_type)
assert client.public.upload_proof(token, data=PNG, content_type="image/png") == {"hasProof": True}
assert client.public.claim_payment(token)["paymentStatus"] == "payment_claimed"
assert client.public.claim_payment(token)["paymentStatus"] == "payment_claimed"

# The seller's orders.
page = client.orders.list(payment_status="payment_claimed", q="budi LOGO")
assert [row["number"] for row in page["orders"]] == [1] and page["hasMore"] is False and page["cursor"] is None
assert page["counts"]["requested"] == 1
order = page["orders"][0]["id"]
refused("VALIDATION_ERROR", 400, client.orders.list, limit=0, param="limit")
refused("VALIDATION_ERROR", 400, client.orders.list, limit=101, param="limit")
refused("VALIDATION_ERROR", 400, client.orders.list, cursor="forged", param="cursor")
refused("VALIDATION_ERROR", 400, client.orders.list, status="lost", param="status")
refused("NOT_FOUND", 404, client.orders.get, "ord_01jtestvect0r0000000000000")
refused("NOT_FOUND", 404, client.orders.get, "ord_?")
refused("VALIDATION_ERROR", 400, client.orders.update, order, quoted_price_idr=-1, param="quotedPriceIdr")
refused("INVALID_TRANSITION", 409, client.orders.update, order, status="delivered")
assert client.orders.get(order)["messages"] == []
updated = client.orders.update(order, status="confirmed", quoted_price_idr=750_000)
assert (updated["status"], updated["quotedPriceIdr"]) == ("confirmed", 750_000)
assert client.orders.download_proof(order) == {"data": PNG, "contentType": "image/png"}
assert client.orders.confirm_payment(order)["paymentStatus"] == "payment_confirmed"
refused("INVALID_TRANSITION", 409, client.orders.confirm_payment, order)
refused("INVALID_TRANSITION", 409, client.orders.update, order, quoted_price_idr=1)
refused("INVALID_TRANSITION", 409, client.public.claim_payment, token)
refused("INVALID_TRANSITION", 409, client.public.upload_proof, token, data=PNG, content_type="image/png")
assert client.public.get_order(token)["payment"] is None
refused("CONFLICT", 409, client.services.delete, service["id"])

# Modules, billing, keys.
assert client.modules.get()["modules"] == {"payment": False, "marketing": False}
refused("UPGRADE_REQUIRED", 403, client.modules.set, payment=True)
billing = client.billing.get()
assert billing["effectiveTier"] == "free" and [tier["serviceLimit"] for tier in billing["tiers"]] == [3, 10, 30, 100]
made = client.api_keys.create(name="ci")
second = SerrontClient(token=made["key"], base_url=URL)
assert made["keyPrefix"] == made["key"][:12] and second.storefront.get() == put
assert client.api_keys.delete(made["id"]) == {"deleted": True}
refused("UNAUTHORIZED", 401, second.storefront.get)
assert len(client.api_keys.list()["apiKeys"]) == 1

# Money, with the module off.
payout = "po_01jtestvect0r0000000000000"
details = {"bank_name": "BCA", "bank_account_number": "1", "bank_account_holder": "Renata"}
refused("PAYMENT_MODULE_DISABLED", 409, client.ledger.balance)
refused("PAYMENT_MODULE_DISABLED", 409, client.ledger.entries, limit=0)
refused("PAYMENT_MODULE_DISABLED", 409, client.payouts.list)
refused("PAYMENT_MODULE_DISABLED", 409, client.payouts.create, amount=-1)
refused("PAYMENT_MODULE_DISABLED", 409, client.payouts.cancel, payout)
refused("PAYMENT_MODULE_DISABLED", 409, client.payouts.balance)
refused("PAYMENT_MODULE_DISABLED", 409, client.payouts.get_bank_account)
refused("PAYMENT_MODULE_DISABLED", 409, client.payouts.update_bank_account, **details)
refused("PAYMENT_MODULE_DISABLED", 409, client.api.payouts_get, payout)
refused("OPERATOR_ONLY", 403, client.payouts.mark_in_transit, payout)
refused("OPERATOR_ONLY", 403, client.payouts.mark_paid, payout, reference="r")
refused("OPERATOR_ONLY", 403, client.payouts.mark_failed, payout, failure_reason="x")
refused("PAYMENT_MODULE_DISABLED", 409, client.public.pay, token)

# Online payment, of a seller whose plan includes it.
seller = SerrontClient(token=STARTER_KEY, base_url=URL)
assert seller.modules.get()["available"] == {"payment": True, "marketing": False}
switched = seller.modules.set(payment=True)
assert switched["modules"] == {"payment": True, "marketing": False} and switched["plugipayAccountId"]
assert seller.api.modules_create(module="payment", enabled=True) == switched == seller.modules.get()
seller.storefront.put(slug="studio-online", display_name="Studio Online", published=True)
seller.services.create(slug="logo", name="Logo", pricing_type="fixed", price_idr=125_000)
assert seller.public.get_storefront("studio-online")["storefront"]["onlinePayment"] is True
zero = {"balance": 0, "currency": "IDR", "byCode": []}
assert seller.ledger.balance() == zero and seller.ledger.entries() == {"entries": [], "cursor": None, "hasMore": False}
paid = seller.public.create_order("studio-online", service_slug="logo", **buyer)["accessToken"]
assert seller.public.get_order(paid)["onlinePayment"] is True
checkout = seller.public.pay(paid)
assert set(checkout) == {"checkoutSessionId", "hostedUrl"}
assert seller.public.pay(paid) == checkout == seller.api.public_create_orders_pay(paid)
page = urllib.parse.urlsplit(checkout["hostedUrl"])
hosted = http.client.HTTPConnection(page.netloc)
hosted.request("POST", page.path + "/pay", "method=qris", {"Content-Type": "application/x-www-form-urlencoded"})
assert hosted.getresponse().status == 303
eventually(
    "the confirmation", lambda: seller.public.get_order(paid)["paymentStatus"] == "payment_confirmed"
)
balance = seller.ledger.balance()
assert balance == {
    "balance": 124_625, "currency": "IDR",
    "byCode": [
        {"code": "module_fee", "debits": 375, "credits": 0, "balance": -375, "currency": "IDR"},
        {"code": "sale", "debits": 0, "credits": 125_000, "balance": 125_000, "currency": "IDR"},
    ],
}, balance
first = seller.ledger.entries(limit=1)
rest = seller.ledger.entries(limit=1, cursor=first["cursor"])
assert first["hasMore"] is True and rest["hasMore"] is False and rest["cursor"] is None
assert {entry["code"]: entry["direction"] for entry in first["entries"] + rest["entries"]} == {
    "module_fee": "debit", "sale": "credit",
}
sale = seller.ledger.entries(code="sale", source_type="checkout_session", source_id=checkout["checkoutSessionId"])
assert [entry["amount"] for entry in sale["entries"]] == [125_000]
refused("VALIDATION_ERROR", 400, seller.ledger.entries, cursor="forged", param="cursor")
refused("VALIDATION_ERROR", 400, seller.ledger.entries, code="tips", param="code")
refused("INVALID_TRANSITION", 409, seller.public.pay, paid)
assert seller.request("GET", "/api/v1/payments/exceptions") == {"exceptions": [], "cursor": None, "hasMore": False}
seller.modules.set(payment=False)
refused("PAYMENT_MODULE_DISABLED", 409, seller.ledger.balance)
seller.modules.set(payment=True)
assert seller.ledger.balance() == balance

# Payouts: the seller requests them, the operator marks them.
operator = SerrontClient(token=OPERATOR_KEY, base_url=URL)


def funds(ledger, in_flight):
    seen = seller.payouts.balance()
    assert seen == {
        "ledgerBalance": ledger, "pending": in_flight, "locked": in_flight, "available": ledger - in_flight,
        "currency": "IDR",
    }, seen


funds(124_625, 0)
assert seller.payouts.list() == {"payouts": [], "cursor": None, "hasMore": False}
nowhere = {
    "bankCode": None, "bankName": None, "bankAccountNumber": None, "bankAccountHolder": None, "configured": False,
}
assert seller.payouts.get_bank_account() == nowhere
refused("BANK_ACCOUNT_REQUIRED", 409, seller.payouts.create, amount=1)
default = seller.payouts.update_bank_account(**details)
assert default == {
    **nowhere, "bankName": "BCA", "bankAccountNumber": "1", "bankAccountHolder": "Renata", "configured": True,
}
assert default == seller.payouts.get_bank_account() == seller.api.payouts_bank_account()
assert seller.api.payouts_update_bank_account(bank_code="014", **details)["bankCode"] == "014"
for amount in [0, -1, 2**53, 1.5, "1"]:
    refused("VALIDATION_ERROR", 400, seller.payouts.create, amount=amount, param="amount")
refused("VALIDATION_ERROR", 400, seller.api.payouts_create, amount=1, currency="USD", param="currency")
refused("VALIDATION_ERROR", 400, seller.payouts.create, amount=1, bank_name="BRI", param="bankAccountNumber")
refused("VALIDATION_ERROR", 400, seller.payouts.list, status="canceled", param="status")
refused("INSUFFICIENT_BALANCE", 409, seller.payouts.create, amount=124_626)
refused("UNAUTHORIZED", 401, operator.payouts.list)
refused("UNAUTHORIZED", 401, operator.payouts.create, amount=1)

first = seller.payouts.create(amount=100_000, note="Sewa.")
assert set(first) == {
    "id", "accountId", "amount", "currency", "status", "method", "bankCode", "bankName", "bankAccountNumber",
    "bankAccountHolder", "note", "reference", "failureReason", "processedAt", "completedAt", "createdAt", "updatedAt",
}
assert (first["status"], first["method"], first["bankCode"], first["note"]) == ("pending", "manual", "014", "Sewa.")
funds(124_625, 100_000)
refused("INSUFFICIENT_BALANCE", 409, seller.payouts.create, amount=24_626)
second = seller.payouts.create(
    amount=24_625, bank_name="BRI", bank_account_number="9-9", bank_account_holder="Renata Wijaya",
)
assert (second["bankCode"], second["bankName"]) == (None, "BRI")
funds(124_625, 124_625)
assert [payout["id"] for payout in seller.payouts.list(status="pending")["payouts"]] == [second["id"], first["id"]]
page = seller.payouts.list(limit=1)
assert page["hasMore"] is True
rest = seller.api.payouts_list(limit=1, cursor=page["cursor"])
assert page["payouts"] == [second] and rest == {"payouts": [first], "cursor": None, "hasMore": False}
refused("OPERATOR_ONLY", 403, seller.payouts.mark_in_transit, first["id"])
refused("NOT_FOUND", 404, operator.payouts.mark_in_transit, payout)
refused("INVALID_TRANSITION", 409, operator.payouts.mark_paid, first["id"])
sent = operator.payouts.mark_in_transit(first["id"])
assert (sent["status"], sent["reference"], sent["completedAt"]) == ("in_transit", None, None) and sent["processedAt"]
refused("INVALID_TRANSITION", 409, seller.payouts.cancel, first["id"])
assert seller.payouts.cancel(second["id"])["status"] == "cancelled"
funds(124_625, 100_000)

# The operator can continue while the seller's module is off.
seller.modules.set(payment=False)
refused("PAYMENT_MODULE_DISABLED", 409, seller.api.payouts_get, first["id"])
assert operator.api.payouts_get(first["id"]) == sent
paid_out = operator.payouts.mark_paid(first["id"], reference="T-1")
assert (paid_out["status"], paid_out["reference"]) == ("paid", "T-1") and paid_out["completedAt"]
seller.modules.set(payment=True)
assert seller.api.payouts_get(first["id"]) == paid_out
funds(24_625, 0)
posted = seller.ledger.entries(code="payout", source_type="payout", source_id=first["id"])["entries"]
assert [(entry["direction"], entry["amount"]) for entry in posted] == [("debit", 100_000)]

third = seller.api.payouts_create(amount=1, currency="IDR")
refused("VALIDATION_ERROR", 400, operator.payouts.mark_failed, third["id"], failure_reason=" ", param="failureReason")
failed = operator.api.payouts_mark_failed(third["id"], failure_reason="No such account.")
assert (failed["status"], failed["failureReason"]) == ("failed", "No such account.")
funds(24_625, 0)
assert seller.ledger.balance()["balance"] == 24_625

# Missing routes and methods are refused.
refused("NOT_FOUND", 404, client.orders.reply, order, body="Halo")
refused("METHOD_NOT_ALLOWED", 405, client.request, "DELETE", "/api/v1/storefront")

# The events arrived, signed.
eventually("three events", lambda: len(received) >= 3)
for headers, body in received:
    seconds, signature = (part.split("=", 1)[1] for part in headers["Serront-Signature"].split(","))
    wanted = hmac.new(hook["secret"].encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(signature, wanted)
types = sorted(json.loads(body)["type"] for _, body in received)
assert types == [
    "serront.order.created.v1", "serront.order.payment_confirmed.v1", "serront.order.status_changed.v1",
], types
eventually(
    "a delivery log of three successes",
    lambda: len(client.request("GET", "/api/v1/webhook-subscriptions/deliveries?status=succeeded")) == 3,
)
log = client.request("GET", "/api/v1/webhook-subscriptions/deliveries?type=serront.order.created.v1")
assert len(log) == 1 and log[0]["attempts"] == 1 and log[0]["attemptLog"][0]["responseCode"] == 200
assert client.request("GET", "/api/v1/webhook-subscriptions/deliveries/" + log[0]["id"]) == log[0]

# A manual retry: the same event, and another attempt.
created = log[0]["id"]
again = client.api.webhook_subscriptions_deliveries_retry(created)
assert (again["id"], again["status"], again["attempts"]) == (created, "pending", 1), again
eventually(
    "the event once more",
    lambda: client.api.webhook_subscriptions_get_deliveries(created)["status"] == "succeeded",
)
attempts = [headers["Serront-Delivery-Attempt"] for headers, body in received if body.decode() == log[0]["body"]]
assert attempts == ["1", "2"], attempts
refused("NOT_FOUND", 404, client.api.webhook_subscriptions_deliveries_retry, "whd_01jtestvect0r0000000000000")
assert client.webhook_subscriptions.update(hook["id"], active=False)["active"] is False
refused("ENDPOINT_DISABLED", 409, client.api.webhook_subscriptions_deliveries_retry, created)
assert client.webhook_subscriptions.delete(hook["id"]) == {"deleted": True}
assert client.webhook_subscriptions.list() == {"subscriptions": []}
print("the published client got along")
