//! Resource agents that write down what they are told to do.
//!
//! What Pacemaker says of a resource is what it believes. That a resource was stopped, or started twice, is told by the
//! agent that did it: each of [`RESOURCES`](super::RESOURCES)' agents is covered, on each host, by one that writes a
//! line and then does what the real one does.

use crate::lab::Lab;
use std::fs;

/// The agents of the resources.
const AGENTS: [&str; 3] = ["heartbeat/Dummy", "pacemaker/Dummy", "pacemaker/Stateful"];

/// What changes a resource; the rest only asks.
const CHANGES: &str = "start|stop|promote|demote|migrate_to|migrate_from";

/// One thing that an agent was told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// On which host.
    pub(crate) host: usize,
    /// Of which resource: its name, `:` and a number after it in a clone.
    pub(crate) resource: String,
    /// `start`, `stop`, `promote`, …
    pub(crate) what: String,
}

/// The agents of a lab that write down what they do.
pub(crate) struct Agents;

impl Agents {
    /// Covers the agents of every host.
    pub(crate) fn cover(lab: &Lab) -> Self {
        for k in 1..=lab.len() {
            let log = lab.dir(k).join("log/actions.log");
            fs::write(&log, "").expect("make the list of actions");
            lab.must(k, "mkdir -p /run/agents/real && mount --bind /usr/lib/ocf/resource.d /run/agents/real");
            for agent in AGENTS {
                let cover = format!(
                    "#!/bin/sh\ncase $1 in {CHANGES}) echo \"$OCF_RESOURCE_INSTANCE $1\" >>{};; esac\n\
                     exec /run/agents/real/{agent} \"$@\"\n",
                    log.display()
                );
                let file = format!("run/agents/{}", agent.replace('/', "-"));
                fs::write(lab.dir(k).join(&file), cover).expect("write an agent");
                lab.must(
                    k,
                    &format!("chmod 755 /{file} && mount --bind /{file} /usr/lib/ocf/resource.d/{agent}"),
                );
            }
        }
        Self
    }

    /// What was done on all hosts since the last time this was asked; on each host in its order.
    pub(crate) fn take(&self, lab: &Lab) -> Vec<Action> {
        let mut all = Vec::new();
        for k in 1..=lab.len() {
            let log = lab.dir(k).join("log/actions.log");
            let text = fs::read_to_string(&log).expect("read the list of actions");
            // Nothing is being done when this is asked, so nothing is lost between the two.
            fs::write(&log, "").expect("empty the list of actions");
            for line in text.lines() {
                let (resource, what) = line.split_once(' ').expect("a resource and an action");
                all.push(Action { host: k, resource: resource.to_owned(), what: what.to_owned() });
            }
        }
        all
    }
}
