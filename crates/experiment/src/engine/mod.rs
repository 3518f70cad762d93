//! What runs a plan: this machine, or a cluster.

pub mod slurm;
