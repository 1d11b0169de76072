//! Requests that another worker has to do: the leader writes configurations, and who runs a
//! connector restarts it.
//!
//! A request goes from the first worker to the leader, and from there to the owner, but no further,
//! as workers that disagree would send it round for ever: the parameter `forward` counts.

use axum::http::{StatusCode, header};
use serde::Deserialize;

use super::{
    Answer, Call, Outcome,
    client::{Client, Reply, Unanswered},
    refuse,
    routes::{OnConnectors, Operation},
};
use crate::herder::Refusal;

pub(super) async fn forward(client: &Client, to: &str, path: &str, call: &Call<'_>) -> Outcome {
    if to.is_empty() {
        let text = "Cannot complete request momentarily due to no known leader URL, likely because \
                    a rebalance was underway.";
        return Err(Refusal::new(409, text).into());
    }
    let hop = call.query.iter().find(|(key, _)| key == "forward").map(|(_, value)| value.as_str());
    let next = match hop {
        None => "true",
        Some(hop) if hop.eq_ignore_ascii_case("true") => "false",
        Some(_) => {
            let text = "Cannot complete request because of a conflicting operation (e.g. worker rebalance)";
            return Err(Refusal::new(409, text).into());
        }
    };
    let mut url = format!("{}{path}?forward={next}", to.trim_end_matches('/'));
    if call.route.operation == Operation::Connectors(OnConnectors::Restart) {
        for flag in ["includeTasks", "onlyFailed"] {
            if call.flag(flag, false) {
                url.push_str(&format!("&{flag}=true"));
            }
        }
    }
    let login = call.headers.get(header::AUTHORIZATION).and_then(|login| login.to_str().ok());
    let headers: Vec<_> = login.map(|login| ("authorization", login)).into_iter().collect();
    tracing::debug!("forwarding {} {path} to {to}", call.method);
    match client.send(call.method, &url, &headers, call.body.to_vec()).await {
        Ok(reply) => answer(reply, call),
        Err(why @ Unanswered::NoClient(_)) => Err(Refusal::new(500, why.to_string()).into()),
        Err(why @ Unanswered::Exchange(_)) => Err(io_error(&why.to_string())),
    }
}

fn io_error(why: &str) -> Answer {
    Refusal::new(500, format!("IO Error trying to forward REST request: {why}")).into()
}

#[derive(Deserialize)]
struct Told {
    error_code: u16,
    message: Option<String>,
}

/// What the other worker answered, as this one's answer: a `Location` is an address of this one.
fn answer(reply: Reply, call: &Call<'_>) -> Outcome {
    match reply.status {
        StatusCode::NO_CONTENT => Ok(Answer::Empty(reply.status)),
        StatusCode::CREATED => {
            let location = reply.headers.get(header::LOCATION).and_then(|text| text.to_str().ok());
            let name = location.and_then(|text| text.rsplit('/').next()).map(str::to_owned);
            let name = name.and_then(|name| super::path::parts(&format!("/{name}")).ok()?.pop());
            Ok(Answer::Created(name.unwrap_or_else(|| call.route.name.clone()), reply.body))
        }
        status if status.is_success() && reply.body.is_empty() => Ok(Answer::Empty(status)),
        status if status.is_success() => Ok(Answer::Json(status, reply.body)),
        status if status.as_u16() >= 400 => {
            let told: Told = serde_json::from_slice(&reply.body).map_err(|error| {
                io_error(&format!("the other worker answered {status} without saying why: {error}"))
            })?;
            let message = told.message.unwrap_or_default();
            let mut answer = refuse(&Refusal::new(told.error_code, message));
            if let Answer::Json(given, _) = &mut answer {
                *given = status;
            }
            Err(answer)
        }
        status => Err(Refusal::new(
            500,
            format!("Unexpected status code when handling forwarded request: {}", status.as_u16()),
        )
        .into()),
    }
}
