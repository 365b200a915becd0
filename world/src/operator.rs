//! The operator at his door: commands to the order stages, and what they show.

use gateway::core_loop::Stage;
use gateway::message::command::Command;
use gateway::message::intent::Owner;
use gateway::order::snapshot::SessionView;

use crate::world::World;

impl World {
    /// A random command to a session.
    pub(crate) fn command(&mut self, at: usize) {
        let owner = Owner(self.random.u8(0..2));
        let command = [
            Command::CancelAll,
            Command::Pause(owner),
            Command::Unpause(owner),
        ][self.random.usize(0..3)];
        // Where as many wait as there is room for, the operator hears so.
        let _ = self.lines[at].commands.push(command);
    }

    /// Every strategy may send again. The commands of before are taken first, so that there is room.
    pub(crate) fn unpause(&mut self) {
        for line in &mut self.lines {
            line.stage.housekeep(&self.clock);
            for owner in [Owner(0), Owner(1)] {
                let asked = line.commands.push(Command::Unpause(owner));
                assert_eq!(asked, Ok(()), "commands are taken");
            }
        }
    }

    /// Everything is shown anew, twice.
    pub(crate) fn show(&mut self) {
        for line in &mut self.lines {
            let view = line.stage.session_view();
            let passes = |view: &SessionView| view.health().expect("nobody writes").passes;
            let seen = passes(&view);
            while passes(&view) < seen + 2 {
                line.stage.housekeep(&self.clock);
            }
        }
    }
}
