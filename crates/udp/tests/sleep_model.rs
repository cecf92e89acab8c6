//! Every order in which writers and a reader may meet at a doorbell, tried out by loom: no wake-up is lost, and a batch is
//! rung for at most once.
//!
//! The file under test is the library's own, with loom's atomics in place of the standard ones.

#![cfg(test)]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

#[path = "../src/sleep.rs"]
mod sleep;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use sleep::Sleep;
use sync::Ordering;

/// Changes of the thread in the middle of its work that the model of three threads tries: at 4 all orders take a second.
const PREEMPTIONS_MAX: usize = 4;

/// A bell as the kernel has it: rung before anybody waits it still wakes the next who does, and it forgets how often.
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.heard.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.heard.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// What the threads share: a sign, a bell, and a ring per writer of which only the count of published frames matters.
struct Scene {
    sleep: Sleep,
    bell: Bell,
    published: [AtomicUsize; 2],
    rung: AtomicUsize,
}

impl Scene {
    fn new() -> Arc<Scene> {
        Arc::new(Scene {
            sleep: Sleep::new(),
            bell: Bell {
                rung: Mutex::new(false),
                heard: Condvar::new(),
            },
            published: [AtomicUsize::new(0), AtomicUsize::new(0)],
            rung: AtomicUsize::new(0),
        })
    }

    /// One batch of `frames` by writer `who`.
    fn write(&self, who: usize, frames: usize) {
        for _ in 0..frames {
            let before = self.published[who].load(Ordering::Relaxed);
            self.published[who].store(before + 1, Ordering::Release);
        }
        self.sleep.wake(|| {
            self.rung.fetch_add(1, Ordering::Relaxed);
            self.bell.ring();
        });
    }

    fn waiting(&self) -> usize {
        self.published.iter().map(|ring| ring.load(Ordering::Acquire)).sum()
    }

    /// Reads until `all` frames have come, waiting on the bell alone. A wake-up that is lost is a deadlock, which loom
    /// reports.
    fn read(&self, all: usize) {
        let mut seen = 0;
        loop {
            seen = seen.max(self.waiting());
            if seen == all {
                return;
            }
            self.sleep.park();
            if self.waiting() == seen {
                self.bell.wait();
            }
            self.sleep.unpark();
        }
    }
}

#[test]
fn a_reader_who_sleeps_is_woken_by_the_only_writer() {
    loom::model(|| {
        let scene = Scene::new();
        let writer = thread::spawn({
            let scene = Arc::clone(&scene);
            move || {
                scene.write(0, 1);
                scene.write(0, 1);
            }
        });
        scene.read(2);
        writer.join().unwrap();
        assert!(scene.rung.load(Ordering::Relaxed) <= 2, "once per batch at most");
    });
}

#[test]
fn a_reader_who_sleeps_is_woken_whichever_of_two_writers_comes_first() {
    // Every order of three threads would take minutes.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS_MAX);
    model.check(|| {
        let scene = Scene::new();
        let writers = [0, 1].map(|who| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || scene.write(who, 1))
        });
        scene.read(2);
        for writer in writers {
            writer.join().unwrap();
        }
        assert!(scene.rung.load(Ordering::Relaxed) <= 2, "once per batch at most");
    });
}

#[test]
fn nobody_rings_for_a_reader_who_is_awake() {
    loom::model(|| {
        let scene = Scene::new();
        scene.sleep.park();
        scene.sleep.unpark();
        scene.write(0, 1);
        assert_eq!(scene.rung.load(Ordering::Relaxed), 0);
        scene.sleep.park();
        scene.write(1, 1);
        scene.write(0, 1);
        assert_eq!(
            scene.rung.load(Ordering::Relaxed),
            1,
            "the second finds that somebody has rung"
        );
    });
}
