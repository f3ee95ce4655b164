//! The catalog: the services that a buyer can order.

use serde::{Deserialize, Serialize};

use crate::orders::order::{OrderedService, PricingType};
use crate::primitives::ids::{AccountId, ServiceId};
use crate::primitives::money::Rupiah;
use crate::primitives::patch::given;
use crate::primitives::rejection::Invalid;
use crate::primitives::text::{self, Slug};
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// Most packages per service.
pub const PACKAGES_MAX: usize = 5;

/// One of a service's packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Package {
    /// Unique within its service, 1–100 characters.
    pub name: String,
    pub price_idr: Rupiah,
    /// Up to 2,000 characters.
    #[serde(default)]
    pub description: Option<String>,
}

/// The kind of pricing, with the prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pricing {
    /// One price.
    Fixed(Rupiah),
    /// A price per hour.
    Hourly(Rupiah),
    /// One to five packages.
    Package(Vec<Package>),
}

impl Pricing {
    /// The kind of pricing.
    #[must_use]
    pub const fn kind(&self) -> PricingType {
        match self {
            Self::Fixed(_) => PricingType::Fixed,
            Self::Hourly(_) => PricingType::Hourly,
            Self::Package(_) => PricingType::Package,
        }
    }

    /// The price; `None` for packages.
    #[must_use]
    pub const fn price(&self) -> Option<Rupiah> {
        match self {
            Self::Fixed(price) | Self::Hourly(price) => Some(*price),
            Self::Package(_) => None,
        }
    }

    /// The packages; `None` for other kinds.
    #[must_use]
    pub fn packages(&self) -> Option<&[Package]> {
        match self {
            Self::Fixed(_) | Self::Hourly(_) => None,
            Self::Package(packages) => Some(packages),
        }
    }

    /// The first quote of an order: the fixed price or the package's price. For an hourly service the seller quotes
    /// later, so this is zero: no quote yet.
    ///
    /// # Errors
    /// [`Invalid`] naming `packageName` if it is missing, unknown, or given for a service without packages.
    pub fn first_quote(&self, package_name: Option<&str>) -> Result<Rupiah, Invalid> {
        match (self, package_name) {
            (Self::Fixed(price), None) => Ok(*price),
            (Self::Hourly(_), None) => Ok(Rupiah::ZERO),
            (Self::Fixed(_) | Self::Hourly(_), Some(_)) => {
                Err(Invalid::new("packageName", "must be left out: the service has no packages"))
            }
            (Self::Package(_), None) => Err(Invalid::new("packageName", "is required: the service has packages")),
            (Self::Package(packages), Some(name)) => packages
                .iter()
                .find(|package| package.name == name)
                .map(|package| package.price_idr)
                .ok_or_else(|| Invalid::new("packageName", "must be one of the service's packages")),
        }
    }
}

/// The validated content of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Offer {
    /// Unique within the account.
    pub slug: Slug,
    pub name: String,
    pub description: Option<String>,
    pub pricing: Pricing,
    /// Inactive services cannot be ordered.
    pub active: bool,
    /// Sorts the list, smallest first.
    pub sort_order: i32,
}

/// A service as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Service {
    pub id: ServiceId,
    pub account_id: AccountId,
    pub version: Version,
    pub offer: Offer,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Service {
    /// The part that an order shows.
    #[must_use]
    pub fn ordered(&self) -> OrderedService {
        let Offer { slug, name, pricing, .. } = &self.offer;
        OrderedService { id: self.id, slug: slug.clone(), name: name.clone(), pricing_type: pricing.kind() }
    }
}

/// A new service, or changes to one, not yet validated. A new service requires `slug`, `name` and `pricingType`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceInput {
    /// 1–60 of `a-z`, `0-9`, `-`.
    #[serde(default)]
    pub slug: Option<String>,
    /// 1–100 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// Up to 2,000 characters; null clears it.
    #[serde(default, deserialize_with = "given")]
    pub description: Option<Option<String>>,
    /// A change requires the new kind's prices.
    #[serde(default)]
    pub pricing_type: Option<PricingType>,
    /// For `fixed` and `hourly`: rupiah.
    #[serde(default, deserialize_with = "given")]
    pub price_idr: Option<Option<i64>>,
    /// For `package`: 1 to 5 packages.
    #[serde(default, deserialize_with = "given")]
    pub packages: Option<Option<Vec<PackageInput>>>,
    /// A new service defaults to `true`.
    #[serde(default)]
    pub active: Option<bool>,
    /// A new service defaults to 0.
    #[serde(default)]
    pub sort_order: Option<i32>,
}

/// A package, not yet validated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageInput {
    /// 1–100 characters, unique within the service.
    pub name: String,
    /// Rupiah.
    pub price_idr: i64,
    /// Up to 2,000 characters.
    #[serde(default)]
    pub description: Option<String>,
}

impl ServiceInput {
    /// Validates a new service (`before` is `None`) or changes to one, and returns the complete new content.
    ///
    /// A new kind of pricing requires its prices. A price together with packages is refused, except for null or an
    /// empty list, which published clients send for "none".
    ///
    /// # Errors
    /// [`Invalid`] naming the first invalid field.
    pub fn validate(&self, before: Option<&Offer>) -> Result<Offer, Invalid> {
        let required = |param: &str| Invalid::new(param, "is required");
        let slug = match (&self.slug, before) {
            (Some(raw), _) => Slug::parse("slug", raw)?,
            (None, Some(before)) => before.slug.clone(),
            (None, None) => return Err(required("slug")),
        };
        let name = match (&self.name, before) {
            (Some(raw), _) => text::name("name", raw)?,
            (None, Some(before)) => before.name.clone(),
            (None, None) => return Err(required("name")),
        };
        let description = match (&self.description, before) {
            (Some(raw), _) => text::optional_prose("description", raw.as_deref())?,
            (None, Some(before)) => before.description.clone(),
            (None, None) => None,
        };
        let kind = match (self.pricing_type, before) {
            (Some(kind), _) => kind,
            (None, Some(before)) => before.pricing.kind(),
            (None, None) => return Err(required("pricingType")),
        };
        let kept = before.map(|before| &before.pricing).filter(|pricing| pricing.kind() == kind);
        let pricing = match kind {
            PricingType::Fixed => Pricing::Fixed(self.single_price(kept)?),
            PricingType::Hourly => Pricing::Hourly(self.single_price(kept)?),
            PricingType::Package => Pricing::Package(self.package_list(kept)?),
        };
        Ok(Offer {
            slug,
            name,
            description,
            pricing,
            active: self.active.or(before.map(|before| before.active)).unwrap_or(true),
            sort_order: self.sort_order.or(before.map(|before| before.sort_order)).unwrap_or(0),
        })
    }

    fn single_price(&self, kept: Option<&Pricing>) -> Result<Rupiah, Invalid> {
        if self.packages.as_ref().and_then(Option::as_ref).is_some_and(|packages| !packages.is_empty()) {
            return Err(Invalid::new("packages", "must be left out: the pricing has no packages"));
        }
        match (self.price_idr, kept.and_then(Pricing::price)) {
            (Some(Some(amount)), _) => price("priceIdr", amount),
            (None, Some(kept)) => Ok(kept),
            (None | Some(None), _) => Err(Invalid::new("priceIdr", "is required")),
        }
    }

    fn package_list(&self, kept: Option<&Pricing>) -> Result<Vec<Package>, Invalid> {
        if self.price_idr.flatten().is_some() {
            return Err(Invalid::new("priceIdr", "must be left out: the packages have prices"));
        }
        let raw = match (&self.packages, kept.and_then(Pricing::packages)) {
            (Some(Some(raw)), _) => raw,
            (None, Some(kept)) => return Ok(kept.to_vec()),
            (None | Some(None), _) => return Err(Invalid::new("packages", "is required")),
        };
        if raw.is_empty() || raw.len() > PACKAGES_MAX {
            return Err(Invalid::new("packages", "must hold 1 to 5 packages"));
        }
        let mut packages = Vec::<Package>::with_capacity(raw.len());
        for (index, raw) in raw.iter().enumerate() {
            let name = text::name(&format!("packages[{index}].name"), &raw.name)?;
            if packages.iter().any(|package| package.name == name) {
                return Err(Invalid::new(format!("packages[{index}].name"), "must differ from the other packages'"));
            }
            packages.push(Package {
                name,
                price_idr: price(&format!("packages[{index}].priceIdr"), raw.price_idr)?,
                description: text::optional_prose(
                    &format!("packages[{index}].description"),
                    raw.description.as_deref(),
                )?,
            });
        }
        Ok(packages)
    }

    /// Whether no field was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Validates a price or quote in rupiah.
///
/// # Errors
/// [`Invalid`] naming `param`.
pub fn price(param: &str, amount: i64) -> Result<Rupiah, Invalid> {
    Rupiah::new(amount).map_err(|error| Invalid::new(param, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> ServiceInput {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_first_missing_or_invalid_field_is_named() {
        for (json, param) in [
            (r#"{}"#, "slug"),
            (r#"{"slug":"a"}"#, "name"),
            (r#"{"slug":"a","name":"A"}"#, "pricingType"),
            (r#"{"slug":"a","name":"A","pricingType":"fixed"}"#, "priceIdr"),
            (r#"{"slug":"a","name":"A","pricingType":"fixed","priceIdr":-1}"#, "priceIdr"),
            (r#"{"slug":"a","name":"A","pricingType":"fixed","priceIdr":9007199254740992}"#, "priceIdr"),
            (r#"{"slug":"a","name":"A","pricingType":"package"}"#, "packages"),
            (r#"{"slug":"a","name":"A","pricingType":"package","packages":[]}"#, "packages"),
            (
                r#"{"slug":"a","name":"A","pricingType":"package","packages":[{"name":"x","priceIdr":1},{"name":" x ","priceIdr":2}]}"#,
                "packages[1].name",
            ),
        ] {
            assert_eq!(parse(json).validate(None).unwrap_err().param, param, "{json}");
        }
    }

    #[test]
    fn a_change_keeps_missing_fields() {
        let before = parse(r#"{"slug":"a","name":"A","pricingType":"hourly","priceIdr":5,"description":"d"}"#)
            .validate(None)
            .unwrap();
        let same = ServiceInput::default().validate(Some(&before)).unwrap();
        assert_eq!(same, before);
        let cleared = parse(r#"{"description":null,"sortOrder":3}"#).validate(Some(&before)).unwrap();
        assert_eq!(cleared, Offer { description: None, sort_order: 3, ..before.clone() });
        let repriced = parse(r#"{"pricingType":"package"}"#).validate(Some(&before));
        assert_eq!(repriced.unwrap_err().param, "packages");
    }

    #[test]
    fn the_first_quote_follows_the_pricing() {
        let five = Rupiah::new(5).unwrap();
        let packages = Pricing::Package(vec![Package { name: "Basic".into(), price_idr: five, description: None }]);
        assert_eq!(Pricing::Fixed(five).first_quote(None), Ok(five));
        assert_eq!(Pricing::Hourly(five).first_quote(None), Ok(Rupiah::ZERO));
        assert_eq!(packages.first_quote(Some("Basic")), Ok(five));
        for (pricing, name) in [(&packages, None), (&packages, Some("basic")), (&Pricing::Fixed(five), Some("x"))] {
            assert_eq!(pricing.first_quote(name).unwrap_err().param, "packageName");
        }
    }
}
