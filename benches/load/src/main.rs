//! A load generator for chat servers, over the project's contract, by gRPC or HTTP/1.1, or over the tutorial's. It checks
//! every delivery.
//!
//! One thread drives all connections, with a minimal HTTP/2 and gRPC, and HTTP/1.1 and Connect, so that on a small machine most of the CPU time
//! is left for the server. Every delivery is still checked, at the cost of comparing its bytes. The modules are in
//! groups, in reading order: the scenarios, the room and its contracts, the checks, the connections, the formats, the
//! system.

mod args;

mod behind;
mod churn;
mod fanout;
mod idle;

mod contract;
mod live;

mod answers;
mod check;
mod member;
mod meter;
mod order;
mod rooms;
mod seating;
mod report;

mod connection;
mod endpoint;
mod pool;
mod socket;
mod tls;

mod chat;
mod follow;
mod grpc;
mod http1;
mod http2;
mod message;
mod protobuf;

mod clock;
mod process;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::args::{Args, Run, Scenario, Wire};
use crate::contract::{Contract, Follow, Tutorial, V1};
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
            eprintln!("error: scenario {}: {error:#}", run.scenario.name());
            ExitCode::from(FAILED)
        }
    }
}

fn carry_out(run: &Run) -> Result<Report> {
    process::raise_file_limit().context("the limit of open files")?;
    match run.wire {
        Wire::V1 => over::<V1, churn::V1>(run),
        Wire::Follow => over::<Follow, churn::Follow>(run),
        Wire::Tutorial => over::<Tutorial, churn::Tutorial>(run),
    }
}

fn over<C: Contract, V: churn::Visits>(run: &Run) -> Result<Report> {
    match run.scenario {
        Scenario::A | Scenario::B | Scenario::C | Scenario::D | Scenario::Rooms | Scenario::Append | Scenario::Lone => {
            fanout::run::<C>(run)
        }
        Scenario::E => idle::run::<C>(run),
        Scenario::F => churn::run::<V>(run),
        Scenario::Catchup => behind::catch_up(run),
        Scenario::Slow => behind::slow(run),
    }
}
