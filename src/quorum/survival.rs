//! What a cluster survives, according to its configuration: in two sentences for the operator.

use super::settings::Reading;
use super::votes::majority;

/// Says how many hosts may fail, and what becomes of a cluster that is cut in two. `None` without a node list.
pub fn of(reading: &Reading) -> Option<String> {
    let Reading { found, plan, .. } = reading;
    let mut nodes = found.votes_of_each()?.to_vec();
    let count = nodes.len();
    if count < 2 {
        return None;
    }
    if plan.rules.two_node {
        return Some(
            "either of the two hosts goes on without the other, whether that has failed or only the network \
             between them, so each must be able to fence the other. A host that starts alone waits for the other one"
                .to_owned(),
        );
    }
    let device = plan.device_votes.filter(|_| plan.device.is_some()).unwrap_or(0);
    let sum = found.votes_of_nodes()?.saturating_add(device);
    let expected = plan.expected.unwrap_or(sum).max(sum);
    let needed = majority(expected);
    // The hosts with the most votes fail first, one stays, and so does the device.
    nodes.sort_unstable_by(|a, b| b.cmp(a));
    let worst = |present: u32| {
        let left = nodes[..count - 1].iter().scan(present, |left, votes| {
            *left = left.saturating_sub(*votes);
            Some(*left)
        });
        (present >= needed).then(|| left.take_while(|left| *left >= needed).count())
    };
    let alive = worst(sum);
    let mut text = format!("{needed} of {expected} votes are needed. ");
    text.push_str(&match alive {
        None => "The votes that there are do not suffice".to_owned(),
        Some(0) => "If one host fails, the others stop".to_owned(),
        Some(1) => format!("Any 1 of the {count} hosts may fail"),
        Some(most) => format!("Any {most} of the {count} hosts may fail together"),
    });
    if device > 0 {
        text.push_str(match worst(sum - device) {
            None => ", while the quorum device answers; without it all stop",
            Some(0) => ", while the quorum device answers; without it, none",
            Some(_) => ", while the quorum device answers; without it, fewer",
        });
    }
    let halves = device == 0 && sum.is_multiple_of(2);
    if plan.rules.tie_breaker.is_some() && halves {
        text.push_str(". Of two equal halves the one with the tie breaker's node goes on");
    } else if halves {
        text.push_str(". If the network cuts the cluster into equal halves, both stop");
    }
    if alive == Some(0) && count == 2 {
        text.push_str(
            ". Two hosts need quorum.two_node: 1 and fencing, or a third vote: a quorum device, or a third host",
        );
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Database;
    use crate::value::Value;

    /// What is said of nodes with these votes, under these settings of section `quorum`.
    fn said(votes: &[u32], settings: &[(&str, &str)]) -> String {
        let mut database = Database::default();
        database.set("nodelist.local_node_pos", Value::U32(0));
        for (place, votes) in votes.iter().enumerate() {
            database.set(&format!("nodelist.node.{place}.nodeid"), Value::U32(place as u32 + 1));
            database.set(&format!("nodelist.node.{place}.quorum_votes"), Value::U32(*votes));
        }
        for (key, value) in settings {
            let value = value.parse().map_or_else(|_| Value::text(value), Value::U32);
            database.set(&format!("quorum.{key}"), value);
        }
        of(&Reading::at_start(&database, Some(0)).unwrap()).unwrap_or_default()
    }

    #[test]
    fn the_number_of_hosts_that_may_fail_follows_from_the_votes() {
        let one = |count: usize| said(&vec![1; count], &[]);
        assert_eq!(one(3), "2 of 3 votes are needed. Any 1 of the 3 hosts may fail");
        assert_eq!(one(5), "3 of 5 votes are needed. Any 2 of the 5 hosts may fail together");
        assert_eq!(
            one(4),
            "3 of 4 votes are needed. Any 1 of the 4 hosts may fail. If the network cuts the cluster into equal halves, \
             both stop"
        );
        assert!(said(&[3, 1, 1], &[]).contains("If one host fails, the others stop"));
        assert_eq!(one(1), "");
    }

    #[test]
    fn two_hosts_are_told_what_they_need() {
        let alone = said(&[1, 1], &[]);
        assert!(alone.contains("If one host fails, the others stop"), "{alone}");
        assert!(alone.contains("quorum.two_node: 1 and fencing"), "{alone}");
        let both = said(&[1, 1], &[("two_node", "1")]);
        assert!(both.contains("either of the two hosts goes on"), "{both}");
    }

    #[test]
    fn a_device_and_a_tie_breaker_are_taken_into_account() {
        let device = [("device.model", "net"), ("device.votes", "1")];
        let two = said(&[1, 1], &device);
        assert!(
            two.starts_with("2 of 3 votes are needed. Any 1 of the 2 hosts may fail, while the quorum"),
            "{two}"
        );
        assert!(two.ends_with("without it, none"), "{two}");
        let four = said(&[1, 1, 1, 1], &[("auto_tie_breaker", "1")]);
        assert!(four.ends_with("Of two equal halves the one with the tie breaker's node goes on"), "{four}");
    }
}
