//! Attention at inference: how uncertain networks are of an image decides whether a person looks at it, or more networks do.
//!
//! [`judge`] lets networks, their pruned copies and their views judge images; a [`Signal`] reads one number per image from
//! that; [`SignalScores`] are those numbers for every network; [`signal_table`], [`routing_table`] and [`ensemble_table`] say what they
//! are worth where masks are known, and [`threshold`] says above which value an image is referred.
mod ensembles;
mod judge;
mod judgement;
mod routing;
mod signal;
mod table;
mod threshold;

pub use ensembles::ensemble_table;
pub use judge::{JudgeParams, RefereeNetworks, judge};
pub use judgement::{ImageJudgement, Jaccards, Judged, Judgement, MapFacts, NetworkJudgement};
pub use routing::{ROUTED_SHARES, routing_table};
pub use signal::{Cost, Curve, Evidence, SIGNALS, Setup, Signal, SignalNeed, key, signal_named};
pub use table::{SignalScores, SignalTables, signal_scores, signal_table};
pub use threshold::threshold;
