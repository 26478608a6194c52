//! Summarises requirement rows: which servers reached which required endpoints.
//!
//! In:  requirement rows.
//! Out: one line per endpoint that not every server reached, with the servers by state.
//! Not: colours and widths; they are in `summary`.

use crate::base::Address;
use crate::judge::RequirementRow;
use crate::judge::RequirementState;

/// Servers that a line names.
const SERVERS_NAMED: usize = 3;

/// An endpoint and the servers in each state.
pub(super) struct EndpointLine {
    /// The worst state of a server.
    pub(super) state: RequirementState,
    /// Purpose of the endpoint.
    pub(super) service: String,
    /// The servers by state; empty if the rows name no server, or no server contacted it.
    pub(super) servers: String,
    /// What the state means.
    pub(super) note: String,
}

/// The order of states, worst first.
const fn rank(state: RequirementState) -> u8 {
    match state {
        RequirementState::Blocked => 0,
        RequirementState::PartlyBlocked => 1,
        RequirementState::NotObserved => 2,
        RequirementState::Reached => 3,
    }
}

/// The endpoints with a row for which `is_shown` is true, worst state first.
pub(super) fn endpoint_lines(
    rows: &[RequirementRow],
    is_shown: impl Fn(&RequirementRow) -> bool,
) -> Vec<EndpointLine> {
    let mut endpoints: Vec<(&str, &str, Vec<&RequirementRow>)> = Vec::new();
    for row in rows {
        let key = (row.references.as_str(), row.service.as_str());
        match endpoints.iter_mut().find(|(rule, service, _)| (*rule, *service) == key) {
            Some((_, _, of_endpoint)) => of_endpoint.push(row),
            None => endpoints.push((key.0, key.1, vec![row])),
        }
    }
    let mut lines: Vec<EndpointLine> = endpoints
        .into_iter()
        .filter(|(_, _, of_endpoint)| of_endpoint.iter().any(|row| is_shown(row)))
        .filter_map(|(_, service, of_endpoint)| {
            let worst = of_endpoint.iter().copied().min_by_key(|row| rank(row.state))?;
            Some(EndpointLine {
                state: worst.state,
                service: service.to_owned(),
                servers: servers_by_state(&of_endpoint),
                note: worst.note.clone(),
            })
        })
        .collect();
    lines.sort_by_key(|line| rank(line.state));
    lines
}

/// `blocked: 10.1.0.5 (tcp-unanswered); reached: 10.1.0.4`.
fn servers_by_state(rows: &[&RequirementRow]) -> String {
    if rows.iter().all(|row| row.state == RequirementState::NotObserved) {
        return String::new();
    }
    let mut parts = Vec::new();
    for state in [
        RequirementState::Blocked,
        RequirementState::PartlyBlocked,
        RequirementState::NotObserved,
        RequirementState::Reached,
    ] {
        let of_state: Vec<&&RequirementRow> =
            rows.iter().filter(|row| row.state == state && row.server.is_some()).collect();
        if of_state.is_empty() {
            continue;
        }
        let named = |row: &&&RequirementRow| {
            let server = row.server.as_ref().map(Address::to_string).unwrap_or_default();
            row.mechanism.map_or_else(|| server.clone(), |mechanism| format!("{server} ({mechanism})"))
        };
        let mut names: Vec<String> = of_state.iter().take(SERVERS_NAMED).map(named).collect();
        if of_state.len() > SERVERS_NAMED {
            names.push(format!("{} more", of_state.len() - SERVERS_NAMED));
        }
        parts.push(format!("{}: {}", state.as_str().replace('-', " "), names.join(", ")));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Mechanism;
    use crate::report::test_support;

    #[test]
    fn a_line_names_the_servers_by_state() {
        let row = |server: u8, state, mechanism| RequirementRow {
            server: Some(Address::v4([10, 1, 0, server])),
            state,
            mechanism,
            ..test_support::requirement()
        };
        let rows = [
            row(4, RequirementState::Reached, None),
            row(5, RequirementState::Blocked, Some(Mechanism::TcpUnanswered)),
        ];
        let lines = endpoint_lines(&rows, |row| row.state != RequirementState::Reached);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].state, RequirementState::Blocked);
        assert_eq!(lines[0].servers, "blocked: 10.1.0.5 (tcp-unanswered); reached: 10.1.0.4");
        let unused =
            [row(4, RequirementState::NotObserved, None), row(5, RequirementState::NotObserved, None)];
        assert_eq!(endpoint_lines(&unused, |_| true)[0].servers, "", "no server contacted it");
        assert!(endpoint_lines(&rows[..1], |row| row.state != RequirementState::Reached).is_empty());
    }
}
