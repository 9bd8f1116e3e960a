//! Runs one decoder on the inputs that libFuzzer makes. `fuzz/run` calls it for each decoder.
//!
//! The variable `HUBBUB_FUZZ` names the decoder, and `HUBBUB_FUZZ_SEEDS` the folder to which its valid inputs are
//! written. Without them, it prints the decoders' names.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod fuzzer {
    use std::sync::OnceLock;
    use std::{env, fs, process};

    use hubbub::fuzz::{DECODERS, Decoder};
    use libfuzzer_sys::fuzz_target;

    static DECODER: OnceLock<&Decoder> = OnceLock::new();

    fn choose() {
        let Ok(name) = env::var("HUBBUB_FUZZ") else {
            for decoder in DECODERS {
                println!("{}", decoder.name);
            }
            process::exit(0);
        };
        let decoder = DECODERS.iter().find(|decoder| decoder.name == name);
        let decoder = *DECODER.get_or_init(|| decoder.unwrap_or_else(|| panic!("no decoder is named {name:?}")));
        if let Ok(folder) = env::var("HUBBUB_FUZZ_SEEDS") {
            for (number, seed) in (decoder.seeds)().iter().enumerate() {
                fs::write(format!("{folder}/seed-{number}"), seed).expect("the folder of the seeds can be written");
            }
        }
    }

    fuzz_target!(init: choose(), |input: &[u8]| (DECODER.get().expect("the fuzzer begins with the choice").check)(input));
}

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("hubbub-fuzz has to be built with instrumentation: run fuzz/run, or make fuzz");
    std::process::exit(2);
}
