//! What several crates have to agree on, written down once: names of settings and arms, names of files, the formats of
//! `run.json`, `results.json` and `demographics.csv`, and how a file is written.
//!
//! ```
//! use htl_vocabulary::{arm, file, setting};
//!
//! let keys: Vec<&str> = setting::SETTINGS.iter().map(|setting| setting.key).collect();
//! assert_eq!(keys[0], setting::SUPERVISED.key);
//! assert_eq!(arm::named("htl"), Some(&arm::HTL));
//! assert_eq!(file::RESULTS, "results.json");
//! ```
pub mod arm;
pub mod campaign;
mod columns;
mod contrast;
mod duration;
pub mod dynamics;
mod echo;
mod error;
pub mod file;
mod forgetting;
pub mod history;
mod lock;
mod metadata;
mod one_hot;
mod performance;
mod rates;
pub mod referral;
pub mod results;
mod rows;
pub mod run_file;
pub mod setting;
mod shell;
pub mod sparsity;
mod spelling;
mod table;
pub mod trivial;
mod typo;
mod whole;

pub use arm::Arm;
pub use columns::ColumnName;
pub use duration::duration_in_words;
pub use dynamics::{DYNAMICS_COLUMNS, DynamicsRow, read_dynamics, write_dynamics};
pub use echo::{one_a_line, readable, shortened};
pub use error::{FormatError, read_json};
pub use forgetting::ForgettingRow;
pub use history::{HistoryRow, read_history, write_history};
pub use lock::{lock_file, lock_folder};
pub use metadata::{MetadataRecord, MetadataTable, listed_ids};
pub use performance::{DisparityRow, PerformanceRow};
pub use rates::{Estimate, MORE_RATE_COLUMNS, RATE_COLUMNS, RateRow, rates_csv, read_rates, write_rates};
pub use referral::{
    EnsembleRow, REFERRED_COLUMNS, ReferralChoice, ReferralDifferenceRow, ReferralRow, ReferralThreshold,
    RiskCoverageRow, RoutingRow,
};
pub use results::Results;
pub use rows::{read_rows, write_rows};
pub use run_file::RunFile;
pub use setting::Setting;
pub use shell::shell_word;
pub use sparsity::SparsityChoice;
pub use spelling::{MergedSpelling, composed, known};
pub use table::{Table, TableError, TableRow};
pub use typo::nearest;
pub use whole::{remove_forsaken, rename_folder, write_whole, write_whole_with};

/// Largest side of the square that a network sees, in pixels: one channel of it is 17 MB of 32-bit numbers, and networks have hundreds.
pub const LARGEST_SIDE: usize = 2048;

/// Most images in a gradient step: more than any memory holds, few enough to make a list of.
pub const LARGEST_BATCH: usize = 1 << 16;

/// The README's example, run as a test.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
