//! Which stages become one job array.
//!
//! Stages are alike when they are of one kind and need the same stages, or the tasks of the
//! same arrays one by one: ten trainings that differ in their seed are an array of ten tasks, and the pruning of each is
//! an array whose task `i` waits for task `i` of the trainings.

use super::SlurmStage;
use std::collections::{BTreeMap, BTreeSet};

/// Tasks of one array: below what Slurm allows by default (`MaxArraySize`, 1001).
const MOST_TASKS: usize = 1000;

/// Stages that go to Slurm as one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Task number and stage; one of them is a job of its own, not an array.
    pub tasks: BTreeMap<usize, usize>,
    /// Groups whose task of the same number each task waits for.
    pub same_task: Vec<usize>,
    /// Stages that all tasks wait for.
    pub common: Vec<usize>,
}

impl Group {
    pub fn is_array(&self) -> bool {
        self.tasks.len() > 1
    }
}

/// Puts the stages of `missing` into groups, each after those it waits for.
///
/// `elsewhere` are stages that need no group as they are in the queue already; other needs are finished.
pub(super) fn groups(stages: &[SlurmStage], missing: &BTreeSet<usize>, elsewhere: &BTreeSet<usize>) -> Vec<Group> {
    let mut groups: Vec<Drafted> = Vec::new();
    // Where each stage went: group and task.
    let mut place: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    // Level by level, so that a group is complete before something is matched with its tasks.
    for level in levels(stages, missing) {
        let first = groups.len();
        for index in level {
            let Some(stage) = stages.get(index) else { continue };
            let mut needs = Needs::default();
            for need in &stage.needs {
                match place.get(need) {
                    Some((group, _)) => drop(needs.grouped.entry(*group).or_default().insert(*need)),
                    None if elsewhere.contains(need) => drop(needs.single.insert(*need)),
                    None => {}
                }
            }
            let member = Member { index, needs };
            let fits = |group: &Drafted| {
                let like = group.members.first().and_then(|first| stages.get(first.index));
                like.is_some_and(|like| like.kind == stage.kind) && group.with(&member, &place).is_some()
            };
            match groups.iter_mut().skip(first).find(|group| fits(group)) {
                Some(group) => group.members.push(member),
                None => groups.push(Drafted { members: vec![member] }),
            }
        }
        for (number, group) in groups.iter().enumerate().skip(first) {
            for (task, stage) in group.shape(&place).unwrap_or_default().tasks {
                place.insert(stage, (number, task));
            }
        }
    }
    groups
        .iter()
        .map(|group| group.shape(&place).unwrap_or_default().into())
        .collect()
}

/// Stages by the length of the longest chain of missing stages before them.
fn levels(stages: &[SlurmStage], missing: &BTreeSet<usize>) -> Vec<Vec<usize>> {
    let mut level: BTreeMap<usize, usize> = BTreeMap::new();
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for (index, stage) in stages.iter().enumerate().filter(|(index, _)| missing.contains(index)) {
        let own = stage
            .needs
            .iter()
            .filter_map(|need| level.get(need))
            .max()
            .map_or(0, |level| level + 1);
        level.insert(index, own);
        if levels.len() <= own {
            levels.resize_with(own + 1, Vec::new);
        }
        if let Some(level) = levels.get_mut(own) {
            level.push(index);
        }
    }
    levels
}

/// What a stage waits for: stages by the group they are in, and stages in no group.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    grouped: BTreeMap<usize, BTreeSet<usize>>,
    single: BTreeSet<usize>,
}

struct Member {
    index: usize,
    needs: Needs,
}

struct Drafted {
    members: Vec<Member>,
}

#[derive(Default)]
struct Shape {
    tasks: Vec<(usize, usize)>,
    same_task: Vec<usize>,
    common: Vec<usize>,
}

impl From<Shape> for Group {
    fn from(shape: Shape) -> Self {
        Self {
            tasks: shape.tasks.into_iter().collect(),
            same_task: shape.same_task,
            common: shape.common,
        }
    }
}

impl Drafted {
    fn shape(&self, place: &BTreeMap<usize, (usize, usize)>) -> Option<Shape> {
        shape(&self.members.iter().collect::<Vec<_>>(), place)
    }

    fn with(&self, member: &Member, place: &BTreeMap<usize, (usize, usize)>) -> Option<Shape> {
        shape(&self.members.iter().chain([member]).collect::<Vec<_>>(), place)
    }
}

/// How the members make one array; nothing if they do not.
fn shape(members: &[&Member], place: &BTreeMap<usize, (usize, usize)>) -> Option<Shape> {
    let first = members.first()?;
    let like = |member: &&Member| {
        member.needs.single == first.needs.single && member.needs.grouped.keys().eq(first.needs.grouped.keys())
    };
    if members.len() > MOST_TASKS || !members.iter().all(like) {
        return None;
    }
    let mut common: Vec<usize> = first.needs.single.iter().copied().collect();
    let mut same_task = Vec::new();
    let mut numbers: Option<Vec<usize>> = None;
    for (group, needed) in &first.needs.grouped {
        let of = |member: &&Member| member.needs.grouped.get(group).cloned().unwrap_or_default();
        if members.iter().all(|member| of(member) == *needed) {
            common.extend(needed);
            continue;
        }
        let task = |member: &&Member| match of(member).iter().collect::<Vec<_>>().as_slice() {
            [only] => place.get(only).map(|(_, task)| *task),
            _ => None,
        };
        let tasks = members.iter().map(task).collect::<Option<Vec<usize>>>()?;
        if tasks.iter().collect::<BTreeSet<_>>().len() < tasks.len()
            || numbers.as_ref().is_some_and(|old| *old != tasks)
        {
            return None;
        }
        numbers = Some(tasks);
        same_task.push(*group);
    }
    let numbers = numbers.unwrap_or_else(|| (0..members.len()).collect());
    common.sort_unstable();
    Some(Shape {
        tasks: numbers
            .into_iter()
            .zip(members.iter().map(|member| member.index))
            .collect(),
        same_task,
        common,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;
    use crate::plan::Kind::{Mine, Prune, Train};

    fn stage(kind: Kind, needs: &[usize]) -> SlurmStage {
        SlurmStage {
            name: "name".into(),
            folder: "stages/x".into(),
            kind,
            needs: needs.to_vec(),
        }
    }

    fn all(stages: &[SlurmStage]) -> BTreeSet<usize> {
        (0..stages.len()).collect()
    }

    fn tasks(group: &Group) -> Vec<(usize, usize)> {
        group.tasks.iter().map(|(task, stage)| (*task, *stage)).collect()
    }

    /// Three trainings, the pruning of each, the mining that needs all prunings, two trainings that need it.
    #[test]
    fn alike_stages_share_an_array() {
        let stages = [
            stage(Train, &[]),
            stage(Prune, &[0]),
            stage(Train, &[]),
            stage(Prune, &[2]),
            stage(Train, &[]),
            stage(Prune, &[4]),
            stage(Mine, &[1, 3, 5]),
            stage(Train, &[6]),
            stage(Train, &[6]),
        ];
        let groups = groups(&stages, &all(&stages), &BTreeSet::new());
        assert_eq!(groups.len(), 4);
        assert_eq!(tasks(&groups[0]), [(0, 0), (1, 2), (2, 4)]);
        assert_eq!(tasks(&groups[1]), [(0, 1), (1, 3), (2, 5)]);
        assert_eq!(
            (groups[1].same_task.as_slice(), groups[1].common.as_slice()),
            (&[0][..], &[][..])
        );
        assert_eq!(tasks(&groups[2]), [(0, 6)]);
        assert_eq!(groups[2].common, [1, 3, 5]);
        assert_eq!(tasks(&groups[3]), [(0, 7), (1, 8)]);
        assert_eq!(groups[3].common, [6]);
    }

    /// Task numbers follow those of the array that is waited for, also when some of it is finished.
    #[test]
    fn a_part_keeps_its_numbers() {
        let stages = [
            stage(Train, &[]),
            stage(Train, &[]),
            stage(Train, &[]),
            stage(Prune, &[0]),
            stage(Prune, &[2]),
            stage(Prune, &[1]),
        ];
        let missing = BTreeSet::from([0, 1, 2, 4, 5]);
        let found = groups(&stages, &missing, &BTreeSet::new());
        assert_eq!(found.len(), 2);
        assert_eq!(tasks(&found[1]), [(1, 5), (2, 4)]);
        // Of two stages one waits and the other does not: they cannot share an array.
        let missing = BTreeSet::from([2, 3, 4]);
        let found = groups(&stages, &missing, &BTreeSet::new());
        assert_eq!(found.len(), 3);
    }

    /// Two arms that start from the trainings of the same seeds are two arrays: a task number exists once in each.
    #[test]
    fn a_task_is_matched_once() {
        let mut stages = vec![stage(Train, &[]), stage(Train, &[])];
        for need in [0, 0, 1, 1] {
            stages.push(stage(Train, &[need]));
        }
        let found = groups(&stages, &all(&stages), &BTreeSet::new());
        let arrays: Vec<_> = found.iter().map(tasks).collect();
        // Greedy: the first two share their one need, so do the next two.
        assert_eq!(
            arrays,
            [vec![(0, 0), (1, 1)], vec![(0, 2), (1, 3)], vec![(0, 4), (1, 5)]]
        );
        assert_eq!(found[1].common, [0]);
        assert_eq!(found[2].common, [1]);
    }

    #[test]
    fn kinds_are_kept_apart() {
        let stages = [stage(Train, &[]), stage(Mine, &[])];
        assert_eq!(groups(&stages, &all(&stages), &BTreeSet::new()).len(), 2);
    }

    /// A stage that waits for a job of an earlier run does so by the job, not by a group.
    #[test]
    fn jobs_in_the_queue_are_waited_for() {
        let stages = [stage(Train, &[]), stage(Mine, &[0]), stage(Mine, &[0])];
        let found = groups(&stages, &BTreeSet::from([1, 2]), &BTreeSet::from([0]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].common, [0]);
    }
}
