//! Bounds on what connections may cost: how many there are, and what each of them sends besides messages.

#![cfg_attr(not(feature = "core-patches"), allow(dead_code, reason = "only the C core calls it"))]

pub mod frames;
pub mod budget;
