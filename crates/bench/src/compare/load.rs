//! How busy the cores are with work that is not ours. A peer that shares its cores collapses, so a measurement taken
//! beside other work says nothing about anybody's speed.

use serde::Serialize;
use std::time::{Duration, Instant};

/// Largest share of all cores that others may use.
const LIMIT: f64 = 0.1;

/// How long one look at the cores takes; the kernel counts in hundredths of a second.
const LOOK: Duration = Duration::from_secs(1);

/// Share of all cores that was busy with the work of others just before, during, and just after a measurement; `null`
/// where the system does not say.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Load {
    pub before: Option<f64>,
    pub during: Option<f64>,
    pub after: Option<f64>,
    /// How often it was taken; those before the last were void.
    pub attempts: usize,
}

impl Load {
    /// Whether the measurement says nothing.
    pub fn is_void(&self) -> bool {
        [self.before, self.during, self.after]
            .into_iter()
            .flatten()
            .any(|busy| busy > LIMIT)
    }
}

/// Time counted by the kernel since it started, in its ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    /// Of all cores, idle or not.
    all: f64,
    /// Of all cores, used by anybody.
    busy: f64,
    /// Used by this process and the children it has waited for.
    own: f64,
}

impl Ticks {
    fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&stat, &own)
    }

    fn parse(stat: &str, own: &str) -> Option<Self> {
        let numbers =
            |text: &str| -> Option<Vec<f64>> { text.split_whitespace().map(|word| word.parse().ok()).collect() };
        let cpu = numbers(stat.lines().find_map(|line| line.strip_prefix("cpu "))?)?;
        // user nice system idle iowait irq softirq steal; what follows is contained in user and nice.
        let [user, nice, system, idle, wait, irq, softirq, steal] = *cpu.get(..8)? else {
            return None;
        };
        let busy = user + nice + system + irq + softirq + steal;
        // Behind the name, which may hold anything: the state, then numbers from field 4 on.
        let own = numbers(own.rsplit_once(')')?.1.trim_start().split_once(' ')?.1)?;
        // utime stime cutime cstime
        let own = own.get(10..14)?.iter().sum();
        Some(Self {
            all: busy + idle + wait,
            busy,
            own,
        })
    }

    /// Share of the cores that others used from `earlier` to now; `None` if no time has passed.
    fn others_since(self, earlier: Self) -> Option<f64> {
        let all = self.all - earlier.all;
        let others = (self.busy - earlier.busy) - (self.own - earlier.own);
        (all > 0.0).then(|| (others / all).clamp(0.0, 1.0))
    }
}

/// Share of the cores that others use in the next second.
fn look() -> Option<f64> {
    let earlier = Ticks::now()?;
    std::thread::sleep(LOOK);
    Ticks::now()?.others_since(earlier)
}

/// Looks at the cores around one measurement after another; the look after one is the look before the next.
#[derive(Debug)]
pub struct Watch {
    patience: Duration,
    attempts: usize,
    last: Option<f64>,
}

impl Watch {
    /// Waits up to `patience` for quiet cores before each measurement, and takes a void one again, `attempts` times in
    /// all.
    pub fn new(patience: Duration, attempts: usize) -> Self {
        Self {
            patience,
            attempts,
            last: look(),
        }
    }

    /// Runs `task`, which waits for the processes it starts.
    pub fn around<T>(&mut self, mut task: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<(T, Load)> {
        let mut attempts = 1;
        loop {
            let begin = Instant::now();
            while self.last.is_some_and(|busy| busy > LIMIT) && begin.elapsed() < self.patience {
                self.last = look();
            }
            let (before, start) = (self.last, Ticks::now());
            let result = task()?;
            let during = start.and_then(|start| Ticks::now()?.others_since(start));
            self.last = look();
            let load = Load {
                before,
                during,
                after: self.last,
                attempts,
            };
            if !load.is_void() || attempts >= self.attempts {
                return Ok((result, load));
            }
            attempts += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "77 (a (b) c) R 1 2 3 0 -1 4 98 0 0 0 10 20 30 40 20 0 1 0 1407054 3133440";

    #[test]
    fn ticks_are_read_from_the_kernels_text() {
        let stat = "cpu  100 10 20 1000 50 3 4 5 9 9\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let expected = Ticks {
            all: 1192.0,
            busy: 142.0,
            own: 100.0,
        };
        assert_eq!(Ticks::parse(stat, OWN), Some(expected));
        assert_eq!(Ticks::parse("cpu0 1 1\n", OWN), None);
        assert_eq!(Ticks::parse("cpu 1 2 x\n", OWN), None);
    }

    /// Of 200 ticks 150 were busy; 120 of those were our children's.
    #[test]
    fn own_time_does_not_count_as_that_of_others() {
        let ticks = |all, busy, own| Ticks { all, busy, own };
        let later = ticks(1200.0, 650.0, 120.0);
        assert_eq!(later.others_since(ticks(1000.0, 500.0, 0.0)), Some(0.15));
        assert_eq!(later.others_since(later), None);
    }

    #[test]
    fn one_busy_look_makes_a_measurement_void() {
        let load = |before, during, after| Load {
            before,
            during,
            after,
            attempts: 1,
        };
        assert!(!load(Some(0.1), Some(0.0), Some(0.02)).is_void());
        assert!(!Load::default().is_void());
        assert!(load(Some(0.11), Some(0.0), Some(0.0)).is_void());
        assert!(load(Some(0.0), Some(0.3), None).is_void());
        assert!(load(None, None, Some(0.9)).is_void());
    }
}
