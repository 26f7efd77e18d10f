//! Arguments about how output video is coded.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use cutrickle_codec::{Coding, RateControl};
use cutrickle_media::VideoCodec;
use cutrickle_pipeline::StreamOptions;

/// The lowest bitrate that is accepted. At less than this nothing can be seen any more, so it is a mistake.
const MIN_BITRATE: i64 = 1000;

/// How output video is coded.
#[derive(Debug, Clone, clap::Args)]
pub struct VideoArgs {
    /// Output video bits per second; chosen by size and frame rate if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(MIN_BITRATE..))]
    bitrate: Option<u32>,
    /// Codec of the output video. H.265 needs a GPU that encodes it; while all of that GPU's encoder sessions
    /// are in use, the output is H.264 instead.
    #[arg(long, value_name = "CODEC", value_parser = codec(), default_value = "h264")]
    video_codec: VideoCodec,
    /// Allow up to twice the bitrate in seconds that need it, if others need less.
    #[arg(long)]
    variable_bitrate: bool,
    /// Constant quality from 1 (best) to 51, at whatever bitrate that takes.
    #[arg(
        long,
        value_parser = clap::value_parser!(u8).range(1..=51),
        conflicts_with_all = ["bitrate", "variable_bitrate"]
    )]
    quality: Option<u8>,
    /// Preset of a GPU's encoder, from 1 (fastest) to 7 (best quality).
    #[arg(
        long,
        value_name = "PRESET",
        value_parser = clap::value_parser!(u8).range(1..=7),
        default_value_t = Coding::default().preset
    )]
    encoder_preset: u8,
}

impl VideoArgs {
    /// Codec, rate control and preset.
    pub fn coding(&self) -> Coding {
        Coding {
            codec: self.video_codec,
            rate: match self.quality {
                Some(quality) => RateControl::Quality(quality),
                None if self.variable_bitrate => RateControl::Variable,
                None => RateControl::Constant,
            },
            preset: self.encoder_preset,
        }
    }

    /// Bits per second, where they were given.
    pub fn bitrate(&self) -> Option<u32> {
        self.bitrate
    }

    /// Sets the options of streams that these arguments are about.
    pub fn apply(&self, options: &mut StreamOptions) {
        options.coding = self.coding();
        options.bitrate = self.bitrate;
    }
}

/// The names under which the command line knows the codecs.
fn codec() -> impl TypedValueParser<Value = VideoCodec> {
    let h264 = PossibleValue::new("h264").help("H.264 (plays everywhere)");
    let h265 = PossibleValue::new("h265").help("H.265 (smaller files, not supported by many browsers)");
    PossibleValuesParser::new([h264, h265]).try_map(|name| name.parse::<VideoCodec>())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        video: VideoArgs,
    }

    fn options(arguments: &[&str]) -> Option<StreamOptions> {
        let cli = Cli::try_parse_from([&["worker"], arguments].concat()).ok()?;
        let mut options = StreamOptions::default();
        cli.video.apply(&mut options);
        Some(options)
    }

    #[test]
    fn arguments_that_are_left_out_change_nothing() {
        let (got, want) = (options(&[]).unwrap(), StreamOptions::default());
        assert_eq!((got.coding, got.bitrate), (want.coding, want.bitrate));
    }

    #[test]
    fn each_argument_reaches_its_option() {
        let got = options(&["--video-codec", "h265", "--variable-bitrate", "--bitrate", "2000000"]).unwrap();
        assert_eq!((got.coding.codec, got.coding.rate), (VideoCodec::H265, RateControl::Variable));
        assert_eq!(got.bitrate, Some(2_000_000));
        let got = options(&["--quality", "20", "--encoder-preset", "7"]).unwrap();
        assert_eq!((got.coding.rate, got.coding.preset), (RateControl::Quality(20), 7));
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for arguments in [
            &["--video-codec", "vp9"][..],
            &["--video-codec", "hevc"],
            &["--bitrate", "999"],
            &["--quality", "52"],
            &["--quality", "20", "--bitrate", "2000000"],
            &["--encoder-preset", "8"],
        ] {
            assert!(options(arguments).is_none(), "{arguments:?}");
        }
    }
}
