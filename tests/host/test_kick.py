import signal
import threading

from memslotlib.host import kick
from memslotlib.host.kick import KICK, Alarm


def test_an_alarm_interrupts_the_thread_that_armed_it():
    # Blocked, so that it stays to be seen: our handler leaves no trace.
    kick.install()
    signal.pthread_sigmask(signal.SIG_BLOCK, [KICK])
    alarm = Alarm()
    try:
        alarm.arm(0.02)
        got = signal.sigtimedwait([KICK], 2)
        again = signal.sigtimedwait([KICK], 2)
    finally:
        alarm.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [KICK])

    assert got is not None
    assert got.si_signo == KICK
    assert again is not None, "an alarm lost before KVM_RUN is entered must come again"


def test_a_disarmed_alarm_is_silent():
    kick.install()
    signal.pthread_sigmask(signal.SIG_BLOCK, [KICK])
    alarm = Alarm()
    try:
        alarm.arm(0.02)
        alarm.disarm()
        assert signal.sigtimedwait([KICK], 0.1) is None
    finally:
        alarm.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [KICK])


def test_an_alarm_follows_the_thread_that_arms_it():
    kick.install()
    alarm = Alarm()
    alarm.arm(10)
    seen = []

    def other():
        signal.pthread_sigmask(signal.SIG_BLOCK, [KICK])
        alarm.arm(0.02)
        seen.append(signal.sigtimedwait([KICK], 2))
        alarm.disarm()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    alarm.close()

    assert seen[0] is not None


def test_the_signal_is_harmless_once_installed():
    kick.install()

    signal.raise_signal(KICK)


def test_a_thread_that_has_ended_is_left_alone():
    kick.install()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

    kick.kick(thread.native_id)
