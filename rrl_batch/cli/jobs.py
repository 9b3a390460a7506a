"""The commands about jobs on a cluster: submit them, watch them, stop them, see what they lack."""

import argparse
import sys
import time
from typing import TYPE_CHECKING

from rrl_batch.cli.options import (
    Commands,
    add_job_file,
    add_jobs_folder,
    jobs_folder,
    make_folder,
    read_job_file,
    section_of,
)
from rrl_batch.errors import RunError, UserError

if TYPE_CHECKING:
    from rrl_batch.cluster.jobs import JobFolder

_LOOK_SECONDS = 1.0
_STOP_SECONDS = 180.0


def add_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    submit = commands.add_parser("submit", help="let a cluster do a whole job; prints its id")
    add_job_file(submit)
    add_jobs_folder(submit)
    submit.set_defaults(command=_submit)

    status = commands.add_parser("status", help="tell how jobs are")
    status.add_argument("job", nargs="?", help="id of a job; all jobs if not given")
    add_jobs_folder(status)
    status.set_defaults(command=_status)
    for name, command, text in (
        ("watch", _watch, "show how a job goes on; ctrl-C leaves it running"),
        ("logs", _logs, "print the log of a job"),
        ("cancel", _cancel, "stop a job; what is finished stays"),
    ):
        about = commands.add_parser(name, help=text)
        about.add_argument("job", help="id of the job")
        add_jobs_folder(about)
        about.set_defaults(command=command)

    doctor = commands.add_parser(
        "doctor", help="check this machine, and a job's files and cluster, before it runs"
    )
    add_job_file(doctor, nargs="?")
    doctor.set_defaults(command=_doctor, workers=None)


def _find(options: argparse.Namespace) -> "JobFolder":
    from rrl_batch.cluster.jobs import find_job

    return find_job(jobs_folder(options), options.job)


def _submit(options: argparse.Namespace) -> None:
    import shutil

    from rrl_batch.cluster.connect import connected
    from rrl_batch.cluster.submit import submit
    from rrl_batch.cluster.versions import check_versions
    from rrl_batch.run import check_inputs, check_job, outputs
    from rrl_batch.storage.lock import check_sole_writer

    job = read_job_file(options)
    check_job(job)
    check_inputs(job)
    if job.cluster.kind != "address":
        raise UserError(
            "A job is submitted to a cluster that runs already; give its --scheduler ADDRESS, or "
            "'rrl-batch run' the job on one of its own."
        )
    check_sole_writer(outputs(job))
    with connected(job.cluster) as client:
        check_versions(client)
        if not client.scheduler_info(n_workers=-1)["workers"]:
            print("the cluster has no workers yet; the job waits for one.", file=sys.stderr)
        folder = make_folder(options, job)
        try:
            submit(client, folder, options.line)
        except UserError:
            shutil.rmtree(folder.path)
            raise
    print(folder.id)


def _status(options: argparse.Namespace) -> None:
    from rich.console import Console

    from rrl_batch.cluster.jobs import all_jobs
    from rrl_batch.cluster.screen import job_screen, jobs_table

    if options.job:
        Console().print(job_screen(_find(options).look(), time.time()))
        return
    folders = all_jobs(jobs_folder(options))
    if not folders:
        print(f"There are no jobs in {jobs_folder(options)}.")
        return
    Console().print(jobs_table([folder.look() for folder in folders], time.time()))


def _watch(options: argparse.Namespace) -> int:
    from rich.live import Live

    from rrl_batch.cluster.jobs import Follower
    from rrl_batch.cluster.screen import job_screen

    follower = Follower(_find(options))
    view = follower.look()
    try:
        with Live(job_screen(view, time.time()), auto_refresh=False) as live:
            while not view.is_over:
                time.sleep(_LOOK_SECONDS)
                view = follower.look()
                live.update(job_screen(view, time.time()), refresh=True)
    except KeyboardInterrupt:
        print(f"The job goes on; 'rrl-batch watch {view.folder.id}' shows it again.")
        return 0
    return 0 if view.state == "done" else 1


def _logs(options: argparse.Namespace) -> None:
    from rrl_batch.cluster.logs import read_log

    for line in read_log(_find(options)):
        print(line)


def _cancel(options: argparse.Namespace) -> None:
    folder = _find(options)
    view = folder.look()
    if view.is_over:
        print(f"{folder.id} has ended already: {view.state}.")
        return
    folder.ask_to_stop()
    if folder.job.cluster.kind == "address":
        _let_go(folder)
    _wait_until_over(folder)
    print(f"{folder.id} is cancelled; submitted again, it goes on from what is finished.")


def _let_go(folder: "JobFolder") -> None:
    """Tell the scheduler of a job, if it is there, that nobody wants it any more."""
    from rrl_batch.cluster.connect import connected
    from rrl_batch.cluster.submit import let_go

    try:
        with connected(folder.job.cluster) as client:
            let_go(client, folder)
    except RunError as error:
        print(f"{error} Its driver, if there is one, stops all the same.")


def _wait_until_over(folder: "JobFolder") -> None:
    """Wait until a job's driver has gone; where there was none, note that the job has ended."""
    end = time.monotonic() + _STOP_SECONDS
    while (view := folder.look()).sign and view.sign.alive:
        if time.monotonic() > end:
            raise RunError(f"{folder.id} has not stopped yet; 'rrl-batch status' tells when it is.")
        time.sleep(0.2)
    if not view.is_over:
        folder.end("cancelled")


def _doctor(options: argparse.Namespace) -> int:
    from rrl_batch.doctor.examine import examine
    from rrl_batch.doctor.finding import summary
    from rrl_batch.doctor.subject import Subject

    if options.job:
        job = read_job_file(options)
        subject = Subject(job.cluster, job)
    elif options.settings:
        raise UserError("--set changes a job; name its file, too: rrl-batch doctor JOB.toml.")
    else:
        subject = Subject(section_of(options))
    findings = []
    for name, finding in examine(subject, with_cluster=bool(options.job or options.scheduler)):
        print(finding.lines(name), flush=True)
        findings.append(finding)
    print(summary(findings))
    return int(any(finding.state == "fails" for finding in findings))
