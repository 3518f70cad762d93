use htl_metrics::{BoxAccuracy, Mask, PixelBox, PixelPrecision, Proposals, ScoreMap};

use crate::{close, count, golden, list, mask, number, numbers, singles};

fn images() -> Vec<(ScoreMap, Mask, PixelBox)> {
    let read = |image: &serde_json::Value| {
        let (height, width) = (count(&image["height"]), count(&image["width"]));
        let map = ScoreMap::stretched(height, width, &singles(&image["raw"])).unwrap();
        let [top, left, bottom, right] = [0, 1, 2, 3].map(|i| count(&image["box"][i]));
        (
            map,
            mask(&image["truth"]),
            PixelBox {
                top,
                left,
                bottom,
                right,
            },
        )
    };
    list(&golden("wsol")["images"]).iter().map(read).collect()
}

fn accuracy(proposals: Proposals, images: &[(ScoreMap, Mask, PixelBox)]) -> BoxAccuracy {
    let mut boxes = BoxAccuracy::new(proposals);
    images
        .iter()
        .for_each(|(map, _, truth)| boxes.add(map, &[*truth]).unwrap());
    boxes
}

#[test]
fn box_accuracies_agree() {
    let file = golden("wsol");
    for (name, proposals) in [
        ("largest_contour", Proposals::LargestContour),
        ("all_contours", Proposals::AllContours),
    ] {
        let boxes = accuracy(proposals, &images());
        let expected = numbers(&file[name]);
        assert_eq!(boxes.at_each_iou().unwrap().to_vec(), expected, "{name}");
        close(boxes.max_box_acc().unwrap(), expected[1], 0.0);
        close(
            boxes.max_box_acc_v2().unwrap(),
            expected.iter().sum::<f64>() / 3.0,
            1e-15,
        );
    }
}

#[test]
fn pixel_precision_agrees() {
    let mut pixels = PixelPrecision::new();
    images()
        .iter()
        .for_each(|(map, truth, _)| pixels.add(map, truth).unwrap());
    close(pixels.px_ap().unwrap(), number(&golden("wsol")["px_ap"]), 1e-12);
}

/// The contours themselves, at several cuts of every map, holes included.
#[test]
fn contours_agree() {
    let file = golden("wsol");
    for (number_of, ((map, _, _), image)) in images().iter().zip(list(&file["images"])).enumerate() {
        for (at, cut) in numbers(&image["cuts"]).into_iter().enumerate() {
            for (name, proposals) in [("largest", Proposals::LargestContour), ("all", Proposals::AllContours)] {
                let mut found: Vec<Vec<usize>> = map
                    .boxes_above(cut, proposals)
                    .unwrap()
                    .iter()
                    .map(|b| vec![b.top, b.left, b.bottom, b.right])
                    .collect();
                found.sort_unstable();
                let expected: Vec<Vec<usize>> = list(&image[name][at])
                    .iter()
                    .map(|b| list(b).iter().map(count).collect())
                    .collect();
                assert_eq!(found, expected, "{name} of image {number_of} at {cut}");
            }
        }
    }
    assert!(images()[0].0.boxes_above(1.5, Proposals::AllContours).is_err());
}
