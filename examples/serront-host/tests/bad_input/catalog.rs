//! Services.

use serde_json::{Value, json};

use super::in_process::{ask, but, service, without};
use super::town::{NUL, Town, UNKNOWN, check, invalid, long, malformed, missing, row};

#[tokio::test]
async fn a_service_with_a_mistake_is_refused_whole() {
    check(|town| {
        let Town { seller, other, .. } = town;
        let post = |fields| other.post("/api/v1/services", &but(service("new"), fields));
        let packages = |packages: Value| {
            let fields = json!({"pricingType": "package", "priceIdr": null, "packages": packages});
            post(fields)
        };
        let lacks = |field| other.post("/api/v1/services", &without(service("new"), field));
        let mine = format!("/api/v1/services/{}", seller.service);
        let others = format!("/api/v1/services/{}", other.service);
        let unknown = format!("/api/v1/services/svc_{UNKNOWN}");
        let free = |body: &Value| seller.post("/api/v1/services", body);
        vec![
            invalid("no slug", lacks("slug"), "slug"),
            invalid("no name", lacks("name"), "name"),
            invalid("no kind of pricing", lacks("pricingType"), "pricingType"),
            invalid("no price", lacks("priceIdr"), "priceIdr"),
            invalid("a blank in a slug", post(json!({"slug": "a b"})), "slug"),
            invalid("a blank name", post(json!({"name": "  "})), "name"),
            invalid("a bell in a name", post(json!({"name": "a\u{7}"})), "name"),
            invalid("a description of 2,001", post(json!({"description": long(2_001)})), "description"),
            invalid("an unknown kind of pricing", post(json!({"pricingType": "daily"})), "pricingType"),
            invalid("capitals in the kind", post(json!({"pricingType": "Fixed"})), "pricingType"),
            invalid("an object for the kind", post(json!({"pricingType": {"fixed": null}})), "pricingType"),
            invalid("a negative price", post(json!({"priceIdr": -1})), "priceIdr"),
            invalid("a price of 2^53", post(json!({"priceIdr": 9_007_199_254_740_992_i64})), "priceIdr"),
            invalid("a price above 64 bits", post(json!({"priceIdr": 1e30})), "priceIdr"),
            invalid("half a rupiah", post(json!({"priceIdr": 0.5})), "priceIdr"),
            invalid("a text for a price", post(json!({"priceIdr": "750000"})), "priceIdr"),
            invalid("a place above 32 bits", post(json!({"sortOrder": 2_147_483_648_i64})), "sortOrder"),
            invalid("a word for a switch", post(json!({"active": "true"})), "active"),
            invalid("packages with a price", post(json!({"packages": [{"name": "a", "priceIdr": 1}]})), "packages"),
            invalid("no packages", packages(json!([])), "packages"),
            invalid("six packages", packages(json!(vec![json!({"name": "a", "priceIdr": 1}); 6])), "packages"),
            invalid(
                "two packages of a name",
                packages(json!([{"name": "a", "priceIdr": 1}, {"name": " a", "priceIdr": 1}])),
                "packages[1].name",
            ),
            invalid("a blank package", packages(json!([{"name": "", "priceIdr": 1}])), "packages[0].name"),
            invalid("a package without a price", packages(json!([{"name": "a"}])), "packages[0].priceIdr"),
            invalid(
                "a package's negative price",
                packages(json!([{"name": "a", "priceIdr": 1}, {"name": "b", "priceIdr": -5}])),
                "packages[1].priceIdr",
            ),
            invalid(
                "NUL in a package",
                packages(json!([{"name": "a", "priceIdr": 1, "description": NUL}])),
                "packages[0].description",
            ),
            row("an existing slug", other.post("/api/v1/services", &service("logo")), 409, "CONFLICT", None),
            row("a fourth service, free", free(&service("fourth")), 403, "LIMIT_REACHED", None),
            invalid("invalid goes before the plan", free(&but(service("fourth"), json!({"name": ""}))), "name"),
            malformed("an empty change", seller.patch(&mine, &json!({}))),
            malformed("a change of nothing known", seller.patch(&mine, &json!({"colour": "red"}))),
            invalid("a null price", seller.patch(&mine, &json!({"priceIdr": null})), "priceIdr"),
            invalid("a kind without its prices", seller.patch(&mine, &json!({"pricingType": "package"})), "packages"),
            row("a slug that is taken", seller.patch(&mine, &json!({"slug": "hours"})), 409, "CONFLICT", None),
            row("to delete what has orders", seller.delete(&mine), 409, "CONFLICT", None),
            missing("another's, read", seller.get(&others)),
            missing("another's, changed", seller.patch(&others, &json!({"name": "Mine"}))),
            missing("another's goes before invalid", seller.patch(&others, &json!({"name": 7}))),
            missing("another's, deleted", seller.delete(&others)),
            missing("unknown", seller.get(&unknown)),
            missing("unknown goes before broken JSON", ask("PATCH", &unknown).key(&seller.key).body("{")),
            missing("an order's id", seller.get(&format!("/api/v1/services/{}", seller.order))),
            missing("no id", seller.get("/api/v1/services/logo")),
            missing("capitals in an id", seller.get(&mine.replace("svc_", "SVC_"))),
            missing("no UTF-8 in an id", seller.get("/api/v1/services/%ff")),
            missing("NUL in an id", seller.get("/api/v1/services/svc_%00")),
        ]
    })
    .await;
}
