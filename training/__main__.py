"""`python -m training`: train, evaluate and export the models."""
import argparse
from pathlib import Path
p=argparse.ArgumentParser()
s=p.add_subparsers(dest='c',required=True)
t=s.add_parser('train');t.add_argument('name');t.add_argument('--data',type=Path);t.add_argument('--run',type=Path);t.add_argument('--fraction',type=float,default=1)
a=p.parse_args()
from training import face
from training.architectures import ARCHITECTURES
face.train(ARCHITECTURES[a.name],a.data,a.run or Path('runs')/a.name,fraction=a.fraction)
