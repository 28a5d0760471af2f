//! Resource agents that log what they are told to do.
//!
//! Pacemaker's own report about a resource is only what it believes. Whether a resource was stopped, or started
//! twice, is known to the agent that did it. Therefore each agent of [`RESOURCES`](super::RESOURCES) is replaced, on
//! each host, by one that writes a line and then does what the original does.

use crate::lab::Lab;
use std::fs;

/// The agents of the resources that are replaced.
const AGENTS: [&str; 3] = ["heartbeat/Dummy", "pacemaker/Dummy", "pacemaker/Stateful"];

/// Actions that change a resource; all others only query it.
const CHANGES: &str = "start|stop|promote|demote|migrate_to|migrate_from";

/// One action that an agent was told to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// The host on which it was carried out.
    pub(crate) host: usize,
    /// The resource's name, followed by `:` and a number in a clone.
    pub(crate) resource: String,
    /// The action: `start`, `stop`, `promote`, …
    pub(crate) what: String,
}

/// The agents of a lab that log their actions.
pub(crate) struct Agents;

impl Agents {
    /// Replaces the agents on every host.
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

    /// The actions on all hosts since the last call, each host's in their order.
    pub(crate) fn take(&self, lab: &Lab) -> Vec<Action> {
        let mut all = Vec::new();
        for k in 1..=lab.len() {
            let log = lab.dir(k).join("log/actions.log");
            let text = fs::read_to_string(&log).expect("read the list of actions");
            // No action is under way when this is called, so none is lost between reading and emptying the log.
            fs::write(&log, "").expect("empty the list of actions");
            for line in text.lines() {
                let (resource, what) = line.split_once(' ').expect("a resource and an action");
                all.push(Action { host: k, resource: resource.to_owned(), what: what.to_owned() });
            }
        }
        all
    }
}
