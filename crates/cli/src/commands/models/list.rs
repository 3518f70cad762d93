use candle_core::Device;
use clap::Args;
use htl_models::weights::PUBLISHED;
use htl_models::{Architecture, DECODERS, ENCODERS, HEADS, Part, Setting};
use serde::Serialize;

use super::super::telling::Telling;
use super::measure::{BATCH, SIDE, Speed};

/// Side in pixels of the image whose cost is told.
const COST_SIDE: usize = 256;

/// The decoder with which encoders are measured.
const MEASURED_DECODER: &str = "unet";

/// `htl models list`.
#[derive(Args)]
pub struct List {
    /// Measure the encoders with the U-Net decoder here: images a second in training and inference, for a minute or more
    #[arg(long)]
    measure: bool,
    #[command(flatten)]
    telling: Telling,
}

/// What networks can be made of.
#[derive(Serialize)]
struct Registries {
    encoders: Vec<Row>,
    decoders: Vec<Row>,
    heads: Vec<Row>,
    /// Localizers: encoders and decoders that go together, settings that are not given at their defaults.
    localizers: Vec<Localizer>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    about: &'static str,
    settings: Vec<Told>,
    /// Names in `htl weights list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weights: Vec<&'static str>,
}

#[derive(Serialize)]
struct Told {
    name: &'static str,
    about: &'static str,
    default: usize,
    allowed: String,
}

#[derive(Serialize)]
struct Localizer {
    encoder: String,
    decoder: &'static str,
    /// Numbers that are trained.
    parameters: usize,
    /// Of one image of 256 x 256 pixels.
    multiply_adds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Speed>,
}

impl List {
    pub fn run(self, device: impl FnOnce() -> anyhow::Result<Device>) -> anyhow::Result<()> {
        let mut registries = Registries::new()?;
        if self.measure {
            let device = device()?;
            let measured = |network: &&mut Localizer| network.decoder == MEASURED_DECODER;
            for network in registries.localizers.iter_mut().filter(measured) {
                network.measured = Some(Speed::of(&network.architecture()?, &device)?);
            }
        }
        self.telling.tell(&registries, || registries.words())
    }
}

impl Registries {
    fn new() -> anyhow::Result<Self> {
        let row = |name, about, settings: &[Setting]| Row {
            name,
            about,
            settings: settings.iter().map(Told::from).collect(),
            weights: Vec::new(),
        };
        let mut localizers = Vec::new();
        for encoder in ENCODERS {
            for decoder in DECODERS {
                localizers.extend(Localizer::of(encoder.name, decoder.name)?);
            }
        }
        let encoder = |encoder: &htl_models::EncoderRow| Row {
            weights: PUBLISHED
                .iter()
                .filter(|weights| weights.encoder == encoder.name)
                .map(|weights| weights.name)
                .collect(),
            ..row(encoder.name, encoder.about, encoder.settings)
        };
        Ok(Self {
            encoders: ENCODERS.iter().map(encoder).collect(),
            decoders: DECODERS
                .iter()
                .map(|part| row(part.name, part.about, part.settings))
                .collect(),
            heads: HEADS
                .iter()
                .map(|part| row(part.name, part.about, part.settings))
                .collect(),
            localizers,
        })
    }

    fn words(&self) -> String {
        let mut lines = Vec::new();
        for (kind, rows) in [
            ("encoders", &self.encoders),
            ("decoders", &self.decoders),
            ("heads", &self.heads),
        ] {
            lines.push(format!("{kind}:"));
            for row in rows {
                lines.push(format!("  {:<26}{}", row.name, row.about));
                let settings = row.settings.iter().map(|setting| {
                    let Told {
                        name,
                        about,
                        default,
                        allowed,
                    } = setting;
                    format!("{:28}{name}: {about}; {allowed}, {default} if left out", "")
                });
                lines.extend(settings);
                if !row.weights.is_empty() {
                    lines.push(format!("{:28}htl weights fetch {}", "", row.weights.join(" ")));
                }
            }
        }
        lines.push(format!(
            "localizers: parameters, multiply-adds of an image of {COST_SIDE} x {COST_SIDE} pixels"
        ));
        if self.localizers.iter().any(|network| network.measured.is_some()) {
            lines.push(format!(
                "  and images a second, {BATCH} at a time, of {SIDE} x {SIDE} pixels, in training and in inference"
            ));
        }
        for network in &self.localizers {
            let mut line = format!(
                "  {:<36}{:<16}{:>7.2} M {:>8.2} G",
                network.encoder,
                network.decoder,
                network.parameters as f64 / 1e6,
                network.multiply_adds as f64 / 1e9,
            );
            if let Some(speed) = &network.measured {
                line += &format!(
                    " {:>8.1} {:>8.1}",
                    speed.training_images_per_second, speed.inference_images_per_second
                );
            }
            lines.push(line);
        }
        lines.join("\n")
    }
}

impl From<&Setting> for Told {
    fn from(setting: &Setting) -> Self {
        Self {
            name: setting.name,
            about: setting.about,
            default: setting.default,
            allowed: setting.allowed.to_string(),
        }
    }
}

impl Localizer {
    /// A localizer with settings at their defaults, or, where decoders need finer maps, with an output stride of 16; `None` if
    /// the parts do not go together.
    fn of(encoder: &str, decoder: &'static str) -> anyhow::Result<Option<Self>> {
        let parts = [Part::new(encoder), Part::new(encoder).with("output_stride", 16)];
        let fit = |part: Part| Some((part.clone(), Architecture::localizer(part, Part::new(decoder)).ok()?));
        let Some((part, architecture)) = parts.into_iter().find_map(fit) else {
            return Ok(None);
        };
        Ok(Some(Self {
            encoder: part.to_string(),
            decoder,
            parameters: architecture.trainable_count()?,
            multiply_adds: architecture.cost(COST_SIDE)?.multiply_adds,
            measured: None,
        }))
    }

    fn architecture(&self) -> anyhow::Result<Architecture> {
        Ok(Architecture::localizer(self.encoder.parse()?, Part::new(self.decoder))?)
    }
}
