"""The commands that compute: a whole job, a model, a catalogue."""

import argparse

from rrl_batch.cli.options import (
    Commands,
    add_cluster,
    add_job_file,
    add_jobs_folder,
    cluster_of,
    connect,
    location,
    make_folder,
    read_job_file,
    writing,
)


def add_commands(commands: Commands) -> None:
    """Add the commands to the parser."""
    run = commands.add_parser("run", help="run a whole job: train, predict, verify, evaluate")
    add_job_file(run)
    add_jobs_folder(run)
    run.set_defaults(command=_run)
    train = commands.add_parser("train", help="train the model of a job")
    add_job_file(train)
    train.set_defaults(command=_train)

    predict = commands.add_parser("predict", help="write the catalogue of a survey")
    predict.add_argument("--model", type=location, required=True, help="folder of the model")
    predict.add_argument("--survey", type=location, required=True, help="folder of the survey")
    predict.add_argument("--out", type=location, required=True, help="folder of the catalogue")
    add_cluster(predict)
    predict.set_defaults(command=_predict)


def _run(options: argparse.Namespace) -> None:
    from rrl_batch.driver import drive
    from rrl_batch.run import check_inputs, check_job

    job = read_job_file(options)
    check_job(job)
    check_inputs(job)
    folder = make_folder(options, job)
    print(f"job        {folder.id}, in {folder.path}", flush=True)
    drive(folder, job, options.line, print)


def _train(options: argparse.Namespace) -> None:
    from rrl_batch.run import check_architectures, check_inputs, train_model
    from rrl_batch.survey.read import open_survey

    job = read_job_file(options)
    job.require("survey", "labels", "model")
    check_architectures(job)
    check_inputs(job)
    with writing(options, job.paths()["model"]), connect(job.cluster) as client:
        train_model(client, open_survey(job.paths()["survey"]), job, print)


def _predict(options: argparse.Namespace) -> None:
    from rrl_batch.models.folder import read_whole
    from rrl_batch.run import write_catalogue
    from rrl_batch.survey.read import open_survey

    # mistakes in what is given come out before a cluster starts
    survey, _ = open_survey(options.survey), read_whole(options.model)
    with writing(options, options.out), cluster_of(options) as client:
        write_catalogue(client, survey, options.model, options.out, print)
