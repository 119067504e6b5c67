//! What the passing of time does to overrides: they begin, if no safety rule forbids it by then,
//! and end.

use super::{Effect, Hand, Now, safety, tell, words};
use crate::{
    clock::Moment,
    control::{audit::Origin, event::EventKind, publish::Control},
    forecast::{Clients, Pair},
    ids::RecordId,
};

impl Control {
    /// What begins and what is over by now.
    pub(in crate::control) fn turn_hand(&mut self) {
        let now = Now { at: self.clock.now(), wall: self.clock.wall() };
        // What is due before there are answers begins with them.
        if self.warming || self.operator.effect.next_change.is_none_or(|at| at > now.at) {
            return;
        }
        let mut hand = self.operator.hand.clone();
        let before = hand.clone();
        let ended = hand.expire(now.at);
        let mut events: Vec<EventKind> = Vec::new();
        events.extend(ended.iter().map(|one| tell::event(one, "ended", "its time is over")));
        if !ended.is_empty() {
            let targets = ended.iter().filter_map(|one| one.target.as_ref());
            let records = targets.flat_map(|target| target.records(&self.operator.files)).collect();
            let broke = self.broken_between(&before, &hand, records, now.at);
            events.extend(broke.map(|why| EventKind::Hand {
                id: ended[0].id,
                what: tell::what(&ended[0]).into(),
                became: "its end breaks a safety rule".into(),
                said: why.into(),
                alarm: true,
            }));
        }
        for id in hand.due(now.at) {
            let mut begun = hand.clone();
            begun.begin(id);
            let Some(one) = begun.find(id) else { continue };
            let records = one.target.iter().flat_map(|t| t.records(&self.operator.files)).collect();
            let broke = match one.break_glass {
                true => None,
                false => self.broken_between(&hand, &begun, records, now.at),
            };
            match broke {
                Some(why) => {
                    events.push(tell::event(one, tell::REFUSED, &why));
                    hand.refuse(id, &why);
                }
                None => {
                    let effect = begun.effect(&self.operator.files, now.at);
                    events.push(tell::event(one, "begins", &self.begins(&effect, id, &begun)));
                    hand = begun;
                }
            }
        }
        self.keep_hand(&hand);
        self.operator.take(hand);
        self.follow_and_audit(events, &Origin::itself("time"));
    }

    /// What the override `id` does now, and what it hides.
    fn begins(&self, effect: &Effect, id: u64, hand: &Hand) -> String {
        let Some(one) = hand.find(id) else { return String::new() };
        let mut said = words::does(one, effect, &self.operator.files);
        let hidden = effect.hidden_by(id);
        if !hidden.is_empty() {
            let hidden: Vec<String> = hidden.iter().map(|id| format!("#{id}")).collect();
            said += &format!("; hides {}", hidden.join(", "));
        }
        said
    }

    /// The safety rules that a step from one hand to another breaks at `records`, in words.
    fn broken_between(
        &mut self,
        from: &Hand,
        to: &Hand,
        records: Vec<RecordId>,
        now: Moment,
    ) -> Option<String> {
        if self.operator.files.safety.is_empty() {
            return None;
        }
        let clients: Clients = self.operator.clients().clone();
        let (outlook, files) = (self.outlook(), &self.operator.files);
        let world = outlook.standpoint();
        let before = outlook.supposed(&world, &from.effect(files, now), &[]).ok()?.after;
        let after = outlook.supposed(&world, &to.effect(files, now), &[]).ok()?.after;
        // They were counted for these files just now.
        let broke = safety::violations(&before, &after, &Pair::same(&records), &clients).ok()?;
        let words: Vec<String> = broke.iter().map(ToString::to_string).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}
