//! A worker that fails twice, is restarted with the data that it had stored, and then ends successfully.
//!
//! ```text
//! cargo run --example sam_restart             # the worker is this program, started again
//! cargo run --example sam_restart -- fork     # the worker is a copy of this process, as with libsam
//! cargo run --example sam_restart -- keys     # with its state in the daemon's database: needs a daemon;
//!                                             # watch it with corosync-cmapctl -t resources.process. -T
//! ```

use std::error::Error;
use std::process::{Command, ExitCode, abort};
use std::time::Duration;

use annulus::sam::{self, Policy, Supervisor, Worker};

/// The sum that the worker must reach.
const GOAL: u32 = 6;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut policy = Policy::restart().interval(Duration::from_millis(500));
    if words.iter().any(|word| word == "keys") {
        policy = policy.in_registry();
    }
    if words.iter().any(|word| word == "worker") {
        work(Worker::inherited()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if words.iter().any(|word| word == "fork") {
        // From here on there are two processes: only the worker returns from `register`.
        work(sam::register(&policy)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut worker = Command::new(std::env::current_exe()?);
    worker.arg("worker");
    println!("supervisor: starting the worker");
    let outcome = Supervisor::new(policy, worker)?.run()?;
    println!(
        "supervisor: {} instances, the last ended with status {}",
        outcome.instances,
        outcome.exit.code()
    );
    Ok(if outcome.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Adds the number of this instance to the stored sum, until that reaches the goal.
fn work(worker: Worker) -> Result<(), Box<dyn Error>> {
    let kept = worker.data();
    let mut sum = kept.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let instance = worker.instance();
    println!("instance {instance}: starts with the sum {sum}");
    worker.start()?;
    sum += instance;
    worker.store(sum.to_le_bytes().to_vec())?;
    println!("instance {instance}: stored the sum {sum}");
    if sum < GOAL && instance == 1 {
        println!("instance {instance}: crashes");
        abort();
    }
    if sum < GOAL {
        println!("instance {instance}: hangs, and is going to be warned by SIGTERM");
        loop {
            std::thread::park();
        }
    }
    worker.stop()?;
    println!("instance {instance}: done");
    Ok(())
}
