//! Before the load: are all the widgets there, in their order, and can pages open sessions with them?

use super::api::{WIDGETS, get};
use super::{fill, ids};
use crate::Result;
use crate::lab::{Lab, Proxy};
use crate::probe::roundtrip;
use crate::rows::Row;
use crate::token::ORIGIN;
use serde_json::Value;
use std::net::SocketAddr;

/// As many as a page may have.
const TAKE: usize = 100;

/// Fails unless lists show the newest first, filtered or not, and widgets from end to end can be fetched and used.
pub(super) fn check(row: &Row, proxy: &Proxy, _: &Lab) -> Result<()> {
    let copies = super::copies(row)?;
    let checked = lists(proxy.spare[0], copies).and_then(|()| {
        [0, copies / 2, copies - 1].into_iter().try_for_each(|number| {
            let id = ids::id(number)?;
            fetches(proxy.spare[0], id.as_str())?;
            opens(proxy.address, id.as_str())
        })
    });
    checked.map_err(|error| format!("{}: {error}", row.name).into())
}

fn lists(address: SocketAddr, copies: u64) -> Result<()> {
    let first = listed(address, "")?;
    let newest = |step: u64| (0..copies).rev().step_by(usize::try_from(step).unwrap_or(1)).map(ids::id);
    // The two that the API made itself are newer than their copies.
    same(first.get(2..), newest(1).take(TAKE - 2))?;
    if !first.is_sorted_by(|one, other| one > other) {
        return Err(format!("not the newest first: {first:?}").into());
    }
    let cursor = ids::id(copies / 2)?;
    let behind = listed(address, &format!("&cursor={}", cursor.as_str()))?;
    same(Some(&behind), (0..copies / 2).rev().take(TAKE).map(ids::id))?;
    // Every second one, of which the template is the last but one.
    let filtered = listed(address, &format!("&{}", fill::FILTER))?;
    same(filtered.get(1..), newest(2).take(TAKE - 1))
}

/// The ids on a page.
fn listed(address: SocketAddr, query: &str) -> Result<Vec<String>> {
    let page = get(address, &format!("{WIDGETS}/list?take={TAKE}{query}"))?;
    let items = page["items"].as_array().ok_or("no items")?;
    Ok(items.iter().map(|item| item["id"].as_str().unwrap_or_default().to_owned()).collect())
}

fn same(found: Option<&[String]>, expected: impl Iterator<Item = Result<sidegate_core::id::ObjectId>>) -> Result<()> {
    let expected = expected.map(|id| Ok(id?.as_str().to_owned())).collect::<Result<Vec<_>>>()?;
    if found == Some(&*expected) { Ok(()) } else { Err(format!("listed {found:?} instead of {expected:?}").into()) }
}

fn fetches(address: SocketAddr, id: &str) -> Result<()> {
    let widget: Value = get(address, &format!("{WIDGETS}/{id}/fetch"))?;
    let good = widget["id"] == id && widget["origin"] == ORIGIN;
    if good { Ok(()) } else { Err(format!("fetched {widget} as {id}").into()) }
}

fn opens(address: SocketAddr, id: &str) -> Result<()> {
    let path = format!("{WIDGETS}/{id}/session/create");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nOrigin: {ORIGIN}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let reply = roundtrip(address, &request)?;
    let good = reply.starts_with("HTTP/1.1 200 ") && reply.contains(r#""token":"#);
    if good { Ok(()) } else { Err(format!("POST {path} said\n{reply}").into()) }
}
