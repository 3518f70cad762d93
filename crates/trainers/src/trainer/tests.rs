use super::*;
use crate::observe::on_progress;

fn line() -> (Var, Tensor, Tensor) {
    let weight = Var::from_tensor(&Tensor::new(&[[0f32]], &Device::Cpu).unwrap()).unwrap();
    let x = Tensor::new(&[[1f32], [2.], [3.], [4.], [5.]], &Device::Cpu).unwrap();
    let y = (&x * 2.).unwrap();
    (weight, x, y)
}

fn squares(output: &Tensor, target: &Tensor) -> candle_core::Result<Tensor> {
    (output - target)?.sqr()?.mean_all()
}

fn params(steps: usize) -> TrainerParams {
    TrainerParams {
        steps,
        batch: 2,
        learning_rate: 0.1,
        validate_every: 2,
        ..TrainerParams::default()
    }
}

/// Rows per epoch of three steps, validated every second epoch and at the end; observers see every step.
#[test]
fn epochs_are_validated_and_observed() {
    let (weight, x, y) = line();
    let network = |x: &Tensor| x.matmul(&weight);
    let mut seen = Vec::new();
    let trainer = Trainer::new(params(10).check().unwrap())
        .observe(on_progress(|done, all| seen.push((done, all))))
        .validate(|| Ok(0.5));
    let history = trainer
        .fit(&network, &[("weight".into(), weight.clone())], &x, &y, squares)
        .unwrap();
    let rows: Vec<_> = history.iter().map(|row| (row.step, row.val_quality)).collect();
    assert_eq!(rows, [(3, None), (6, Some(0.5)), (9, None), (10, Some(0.5))]);
    assert_eq!(seen, (0..=10).map(|done| (done, 10)).collect::<Vec<_>>());
    assert!(history[2].train_loss < history[0].train_loss);
}

/// The same seed gives the same bits, another one does not.
#[test]
fn seeds_decide() {
    let trained = |seed| {
        let (weight, x, y) = line();
        let params = TrainerParams { seed, ..params(7) };
        let network = |x: &Tensor| x.matmul(&weight);
        Trainer::new(params.check().unwrap())
            .fit(&network, &[("weight".into(), weight.clone())], &x, &y, squares)
            .unwrap()
    };
    assert_eq!(trained(1), trained(1));
    assert_ne!(trained(1), trained(2));
}

/// A loss of the caller's is asked once per step, in order, and its gradient moves the variables.
#[test]
fn any_loss_is_minimised() {
    let weight = Var::from_tensor(&Tensor::new(&[5f32], &Device::Cpu).unwrap()).unwrap();
    let mut asked = Vec::new();
    let trainer = Trainer::new(params(200).check().unwrap());
    let history = trainer
        .minimise(&[("weight".into(), weight.clone())], 5, |step| {
            asked.push(step);
            Ok((weight.as_tensor() - 2.)?.sqr()?.sum_all()?)
        })
        .unwrap();
    assert_eq!(asked, (0..200).collect::<Vec<_>>());
    assert_eq!(history.len(), 67);
    assert!((weight.to_vec1::<f32>().unwrap()[0] - 2.).abs() < 0.05);
}

#[test]
fn a_flag_ends_it_between_two_steps() {
    let (weight, x, y) = line();
    let network = |x: &Tensor| x.matmul(&weight);
    let stop = StopFlag::default();
    let flag = stop.clone();
    let mut last = 0;
    let observer = on_progress(|done, _| {
        last = done;
        if done == 4 {
            flag.stop();
        }
    });
    let variables = [("weight".into(), weight.clone())];
    let trainer = Trainer::new(params(10).check().unwrap())
        .observe(observer)
        .stop_on(&stop);
    let history = trainer.fit(&network, &variables, &x, &y, squares).unwrap();
    assert_eq!((history.len(), last), (1, 4));
}

#[test]
fn bad_input_is_named() {
    let (weight, x, y) = line();
    let network = |x: &Tensor| x.matmul(&weight);
    let fit = |x: &Tensor, y: &Tensor| {
        let trainer = Trainer::new(params(3).check().unwrap());
        trainer.fit(&network, &[("weight".into(), weight.clone())], x, y, squares)
    };
    let none = Trainer::new(params(3).check().unwrap()).minimise(&[], 0, |_| Ok(x.mean_all()?));
    assert!(none.unwrap_err().to_string().contains("`samples`"));
    let few = y.narrow(0, 0, 3).unwrap();
    assert!(matches!(fit(&x, &few), Err(TrainError::Samples { .. })));
    let infinite = (&y * f64::INFINITY).unwrap();
    assert!(matches!(fit(&x, &infinite), Err(TrainError::Diverged { step: 0, .. })));
    for (key, params) in [
        ("steps", TrainerParams { steps: 0, ..params(1) }),
        ("batch", TrainerParams { batch: 0, ..params(1) }),
        (
            "batch",
            TrainerParams {
                batch: 1 << 40,
                ..params(1)
            },
        ),
        (
            "clip",
            TrainerParams {
                clip: f64::NAN,
                ..params(1)
            },
        ),
        (
            "learning_rate",
            TrainerParams {
                learning_rate: 0.0,
                ..params(1)
            },
        ),
        (
            "weight_decay",
            TrainerParams {
                weight_decay: 1.0,
                ..params(1)
            },
        ),
        (
            "validate_every",
            TrainerParams {
                validate_every: 0,
                ..params(1)
            },
        ),
    ] {
        let said = params.check().unwrap_err().to_string();
        assert!(said.contains(&format!("`{key}`")), "{said}");
    }
}

/// A step that breaks a variable has a finite loss still; at the end the variables are looked at.
#[test]
fn a_variable_that_breaks_in_the_last_step_is_named() {
    let weight = Var::from_tensor(&Tensor::new(&[0f32], &Device::Cpu).unwrap()).unwrap();
    let trained = Trainer::new(params(1).check().unwrap()).minimise(&[("weight".into(), weight.clone())], 2, |_| {
        Ok(weight.as_tensor().sqrt()?.sum_all()?)
    });
    let error = trained.unwrap_err();
    assert!(
        matches!(&error, TrainError::NotFinite { name, step: 1 } if name == "weight"),
        "{error}"
    );
}
