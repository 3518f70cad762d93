//! The experiment as data: settings, arms, profiles, the plan, and the engines that run it.

pub mod engine;
