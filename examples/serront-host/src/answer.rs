//! A success: the `data` of the envelope.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serront_core::service;

use crate::problem::Problem;

pub(crate) type Reply = Result<Answer, Problem>;

/// The page of a list, for lists that describe it in `meta`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageMeta {
    pub(crate) cursor: Option<String>,
    pub(crate) has_more: bool,
}

#[derive(Serialize)]
struct Listed<'a, T> {
    #[serde(flatten)]
    rows: BTreeMap<&'static str, &'a [T]>,
    #[serde(flatten)]
    page: PageMeta,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: StatusCode,
    pub(crate) data: String,
    pub(crate) page: Option<PageMeta>,
    pub(crate) replayed: bool,
}

impl Answer {
    fn new(status: StatusCode, data: &impl Serialize, replayed: bool) -> Reply {
        let data = serde_json::to_string(data).map_err(|_| Problem::internal("an answer can't be written as JSON"))?;
        Ok(Self { status, data, page: None, replayed })
    }

    /// 200.
    pub(crate) fn ok(data: &impl Serialize) -> Reply {
        Self::new(StatusCode::OK, data, false)
    }

    /// 200 with a page of a list; `meta` has the cursor of the next one.
    pub(crate) fn page(data: &impl Serialize, cursor: Option<String>) -> Reply {
        let page = PageMeta { has_more: cursor.is_some(), cursor };
        Ok(Self { page: Some(page), ..Self::ok(data)? })
    }

    /// 200 with a page of a list under its name, with the cursor next to it.
    pub(crate) fn list<T: Serialize>(name: &'static str, rows: &[T], cursor: Option<String>) -> Reply {
        let page = PageMeta { has_more: cursor.is_some(), cursor };
        Self::ok(&Listed { rows: BTreeMap::from([(name, rows)]), page })
    }

    /// 200 with the result of a command.
    pub(crate) fn done<T: Serialize>(answer: &service::Answer<T>) -> Reply {
        Self::new(StatusCode::OK, &answer.value, answer.replayed)
    }

    /// 201 with what a command created. A replay answers 201 too.
    pub(crate) fn created<T: Serialize>(answer: &service::Answer<T>) -> Reply {
        Self::new(StatusCode::CREATED, &answer.value, answer.replayed)
    }

    /// 200 for a deletion.
    pub(crate) fn deleted() -> Reply {
        Self::ok(&BTreeMap::from([("deleted", true)]))
    }
}

/// An empty response that carries the answer as an extension.
impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
