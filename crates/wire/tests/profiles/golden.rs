//! The bytes that a client of each profile is sent, in `tests/golden/<profile>/<scene>.jsonl`, one frame a line.
//!
//! `UPDATE_GOLDEN=1 cargo test -p moorline-wire --test profiles` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use moorline_wire::{DecodeLimits, Profile, decode_runtime};

use crate::frames::scenes;

fn directory(profile: Profile) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(profile.as_str())
}

#[test]
fn every_profile_is_sent_exactly_these_frames() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for profile in Profile::ALL {
        let directory = directory(*profile);
        if update {
            fs::create_dir_all(&directory).unwrap();
        }
        for scene in scenes(*profile) {
            let text: String = scene.frames.iter().flat_map(|frame| [frame.as_str(), "\n"]).collect();
            let path = directory.join(scene.name).with_extension("jsonl");
            if update {
                fs::write(&path, &text).unwrap();
            }
            let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(text, golden, "{profile}, {}: UPDATE_GOLDEN=1 if this is meant", scene.name);
        }
    }
}

#[test]
fn there_is_no_golden_file_that_no_scene_makes() {
    for profile in Profile::ALL {
        let made: BTreeSet<_> = scenes(*profile).iter().map(|scene| format!("{}.jsonl", scene.name)).collect();
        let names = fs::read_dir(directory(*profile)).unwrap();
        let found: BTreeSet<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(found, made, "{profile}");
    }
}

/// Our own client reads what is made for others, so that a wrong guess costs it nothing.
#[test]
fn what_is_sent_to_any_profile_is_read_by_our_own_client() {
    for profile in Profile::ALL {
        for scene in scenes(*profile) {
            for frame in &scene.frames {
                let decoded = decode_runtime(frame.as_bytes(), DecodeLimits::default());
                assert!(decoded.is_ok(), "{profile}, {}: {decoded:?}", scene.name);
            }
        }
    }
}
