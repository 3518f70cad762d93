use std::time::Duration;

/// A duration as `12.3 s` or `4 min 05 s`.
pub fn duration_in_words(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100. {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration_in_words(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(duration_in_words(Duration::from_secs(245)), "4 min 05 s");
    }
}
