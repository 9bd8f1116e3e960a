//! A load generator for chat servers that serve the tutorial's contract, and a judge of what they deliver.
//!
//! One thread drives all connections, with no more of HTTP/2 and gRPC than it needs, so that on a small machine the
//! server gets the processors: every delivery is still checked, at the price of comparing its bytes. Modules stand in
//! groups, in reading order: the scenarios, the judgement, the connections, the formats, the system.

mod args;

mod churn;
mod fanout;
mod idle;

mod check;
mod meter;
mod report;

mod connection;
mod pool;

mod grpc;
mod http2;
mod message;

mod clock;
mod process;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::args::{Args, Run, Scenario};
use crate::report::Report;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let run = match args.run() {
        Ok(run) => run,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match carry_out(&run) {
        Ok(report) => {
            println!("{}", if args.json { report.json() } else { report.table() });
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: scenario {}: {error:#}", run.scenario.letter());
            ExitCode::from(FAILED)
        }
    }
}

fn carry_out(run: &Run) -> Result<Report> {
    process::raise_file_limit().context("the limit of open files")?;
    match run.scenario {
        Scenario::A | Scenario::B | Scenario::C | Scenario::D => fanout::run(run),
        Scenario::E => idle::run(run),
        Scenario::F => churn::run(run),
    }
}
